// The world `mcp-server` for C: what a server of wasi:mcp imports, exports and passes, as the component model lays it out
// (C has the same alignment). Include it in one file only. That file defines the functions of MCP_HANDLERS below;
// `run` registers and ends with mcp_serve. Memory of a call is given back when the call ends.
#ifndef WASI_MCP_H
#define WASI_MCP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MCP_IMPORT(interface, name) __attribute__((import_module("wasi:mcp/" interface "@0.1.0"), import_name(name)))
#define MCP_EXPORT(name) __attribute__((export_name(name)))
#define MCP_HANDLER(name) MCP_EXPORT("wasi:mcp/handlers@0.1.0#" name)

// --- memory ---

#define MCP_ROOM (256 << 10)
static unsigned char mcp_heap[MCP_ROOM] __attribute__((aligned(16)));
static size_t mcp_used;

static inline void *mcp_alloc(size_t size) {
  size = (size + 15) & ~(size_t)15;
  if (size <= MCP_ROOM - mcp_used) return mcp_heap + (mcp_used += size) - size;
  size_t pages = (size + 65535) >> 16, at = __builtin_wasm_memory_grow(0, pages);
  if (at == (size_t)-1) __builtin_trap();
  return (void *)(at << 16);
}

MCP_EXPORT("cabi_realloc") void *mcp_realloc(void *old, size_t before, size_t align, size_t size) {
  void *found = size ? mcp_alloc(size) : (void *)align;
  if (before && size) __builtin_memcpy(found, old, before < size ? before : size);
  return found;
}

static inline size_t mcp_length(const char *text) {
  size_t size = 0;
  while (text[size]) size++;
  return size;
}

// --- values ---

typedef struct { const char *text; size_t size; } mcp_str; // also list<u8>
typedef struct { uint8_t is; mcp_str value; } mcp_opt_str;
typedef struct { uint8_t is; uint8_t value; } mcp_opt_bool;
typedef struct { uint8_t is; uint64_t value; } mcp_opt_u64;
typedef struct { const void *items; size_t count; } mcp_list;
typedef struct { uint8_t is; mcp_list value; } mcp_opt_list;
typedef struct { uint8_t is; mcp_opt_str extra; } mcp_opt_extra;

#define MCP_STR(text) ((mcp_str){(text), mcp_length(text)})
#define MCP_SOME(text) ((mcp_opt_str){1, MCP_STR(text)})
#define MCP_LIST(items) ((mcp_list){(items), sizeof(items) / sizeof(*(items))})

typedef struct {
  struct { uint8_t is; mcp_str data; } experimental;
  struct { uint8_t is; mcp_opt_list levels; } logging;
  mcp_opt_extra completions;
  struct { uint8_t is; mcp_opt_bool list_changed; } prompts;
  struct { uint8_t is; mcp_opt_bool subscribe, list_changed; } resources;
  struct { uint8_t is; mcp_opt_bool list_changed; } tools;
  mcp_opt_extra sampling, elicitation;
} mcp_capabilities;

typedef struct { mcp_str name, version; mcp_capabilities capabilities; mcp_opt_str instructions; } mcp_server_info;
typedef struct {
  uint8_t is;
  struct { mcp_opt_str title; mcp_opt_bool read_only, destructive, idempotent, open_world; } value;
} mcp_opt_hints;
typedef struct { mcp_str name; mcp_opt_str title; mcp_str description, input; mcp_opt_str output; mcp_opt_hints hints; } mcp_tool;
typedef struct { mcp_str uri, name; mcp_opt_str title, description, mime; mcp_opt_u64 size; } mcp_resource;
typedef struct { mcp_str uri, name; mcp_opt_str title, description, mime; } mcp_template;
typedef struct { mcp_str name; mcp_opt_str description; mcp_opt_bool required; } mcp_argument;
typedef struct { mcp_str name; mcp_opt_str title, description; mcp_opt_list arguments; } mcp_prompt;

typedef struct {
  uint8_t is;
  struct { struct { uint8_t is; float value; } priority; mcp_opt_list audience; mcp_opt_str custom; } value;
} mcp_opt_annotations;
enum { MCP_TEXT, MCP_IMAGE, MCP_EMBEDDED, MCP_LINK };
typedef struct {
  uint8_t kind;
  union {
    struct { mcp_str type, text; mcp_opt_annotations annotations; } text;
    struct { mcp_str type, data, mime; mcp_opt_annotations annotations; } image;
    struct { mcp_str type, uri; mcp_opt_str mime, text, blob; mcp_opt_annotations annotations; } embedded;
    struct { mcp_str type, uri, name; mcp_opt_str description, mime; mcp_opt_annotations annotations; } link;
  };
} mcp_block;
enum { MCP_SYSTEM, MCP_USER, MCP_ASSISTANT };
typedef struct { uint8_t role; mcp_block content; } mcp_message;
typedef struct { mcp_str value; mcp_opt_str label; } mcp_completion;
typedef struct { mcp_str name, type; mcp_opt_str description; mcp_opt_bool required; } mcp_field;

enum {
  MCP_PARSE_ERROR, MCP_INVALID_REQUEST, MCP_METHOD_NOT_FOUND, MCP_INVALID_PARAMS, MCP_INTERNAL_ERROR,
  MCP_RESOURCE_NOT_FOUND, MCP_TOOL_NOT_FOUND, MCP_PROMPT_NOT_FOUND, MCP_UNAUTHORIZED, MCP_FORBIDDEN, MCP_TIMEOUT,
  MCP_RATE_LIMITED, MCP_UNAVAILABLE, MCP_CONNECTION_CLOSED, MCP_REQUEST_TIMEOUT
};
enum { MCP_DEBUG, MCP_INFO, MCP_WARNING, MCP_ERROR, MCP_CRITICAL };

// What every runtime function answers: nothing, or an error of the host.
typedef struct { uint8_t failed; int32_t error; } mcp_done;

// What a handler answers. `items` are content blocks, messages, completions, or the bytes of an elicitation.
typedef struct {
  uint8_t failed;
  union {
    struct { const void *items; size_t count; mcp_opt_bool is_error; };
    int32_t error;
  };
} mcp_result;

// --- imports ---

MCP_IMPORT("runtime", "register-server") void mcp_register_server(const mcp_server_info *info, mcp_done *done);
MCP_IMPORT("runtime", "register-tools") void mcp_register_tools(const mcp_tool *tools, size_t count, mcp_done *done);
MCP_IMPORT("runtime", "register-resources")
void mcp_register_resources(const mcp_resource *resources, size_t count, mcp_done *done);
MCP_IMPORT("runtime", "register-resource-templates")
void mcp_register_templates(const mcp_template *templates, size_t count, mcp_done *done);
MCP_IMPORT("runtime", "register-prompts") void mcp_register_prompts(const mcp_prompt *prompts, size_t n, mcp_done *done);
MCP_IMPORT("runtime", "serve") void mcp_serve(mcp_done *done);
MCP_IMPORT("runtime", "log")
void mcp_log(int level, const char *text, size_t size, int has, const char *data, size_t n, mcp_done *done);
MCP_IMPORT("runtime", "report-progress")
void mcp_progress(const char *token, size_t size, uint64_t at, int bound, uint64_t total, mcp_done *done);
// A notification, flat: its kind, and what its case needs of the rest.
enum {
  MCP_RESOURCES_CHANGED, MCP_RESOURCES_UPDATED, MCP_TOOLS_CHANGED, MCP_PROMPTS_CHANGED, MCP_NOTE_PROGRESS,
  MCP_NOTE_MESSAGE, MCP_CANCELLED
};
MCP_IMPORT("runtime", "send-notification")
void mcp_notify(int kind, int a, int b, uint64_t c, int d, uint64_t e, int f, mcp_done *done);
MCP_IMPORT("types", "[constructor]error")
int32_t mcp_error(int code, const char *message, size_t size, int has, const char *data, size_t n);
MCP_IMPORT("types", "[method]error.message") void mcp_error_message(int32_t error, mcp_str *message);

// --- what the file defines: run and seven handlers ---

bool run(void); // whether it went well
void call_tool(mcp_str name, mcp_str arguments, mcp_result *result);
void read_resource(mcp_str uri, mcp_result *result);
void get_prompt(mcp_str name, mcp_opt_str arguments, mcp_result *result);
void handle_subscribe(mcp_str uri, mcp_result *result);
void handle_unsubscribe(mcp_str uri, mcp_result *result);
void handle_complete(int kind, mcp_str value, mcp_result *result);
void handle_elicit(mcp_str message, const mcp_field *fields, size_t count, mcp_result *result);

static mcp_result mcp_result_of_call;
static inline mcp_result *mcp_fresh(void) { mcp_result_of_call = (mcp_result){0}; return &mcp_result_of_call; }

static inline void mcp_fail(mcp_result *result, int code, const char *message) {
  result->failed = 1;
  result->error = mcp_error(code, message, mcp_length(message), 0, 0, 0);
}

static inline mcp_block mcp_text(const char *text, size_t size) {
  return (mcp_block){.kind = MCP_TEXT, .text = {.type = MCP_STR("text"), .text = {text, size}}};
}

static inline void mcp_answer(mcp_result *result, const char *text, size_t size) {
  mcp_block *block = mcp_alloc(sizeof *block);
  *block = mcp_text(text, size);
  result->items = block;
  result->count = 1;
}

MCP_EXPORT("wasi:cli/run@0.2.8#run") int mcp_run(void) {
  bool good = run();
  mcp_used = 0;
  return !good;
}
MCP_HANDLER("call-tool") mcp_result *mcp_h1(const char *name, size_t size, const char *arguments, size_t n) {
  call_tool((mcp_str){name, size}, (mcp_str){arguments, n}, mcp_fresh());
  return &mcp_result_of_call;
}
MCP_HANDLER("read-resource") mcp_result *mcp_h2(const char *uri, size_t size) {
  read_resource((mcp_str){uri, size}, mcp_fresh());
  return &mcp_result_of_call;
}
MCP_HANDLER("get-prompt") mcp_result *mcp_h3(const char *name, size_t size, int has, const char *arguments, size_t n) {
  get_prompt((mcp_str){name, size}, (mcp_opt_str){has, {arguments, n}}, mcp_fresh());
  return &mcp_result_of_call;
}
MCP_HANDLER("handle-subscribe") mcp_result *mcp_h4(const char *uri, size_t size) {
  handle_subscribe((mcp_str){uri, size}, mcp_fresh());
  return &mcp_result_of_call;
}
MCP_HANDLER("handle-unsubscribe") mcp_result *mcp_h5(const char *uri, size_t size) {
  handle_unsubscribe((mcp_str){uri, size}, mcp_fresh());
  return &mcp_result_of_call;
}
MCP_HANDLER("handle-complete") mcp_result *mcp_h6(int kind, const char *value, size_t size) {
  handle_complete(kind, (mcp_str){value, size}, mcp_fresh());
  return &mcp_result_of_call;
}
MCP_HANDLER("handle-elicit")
mcp_result *mcp_h7(const char *message, size_t size, const mcp_field *fields, size_t count) {
  handle_elicit((mcp_str){message, size}, fields, count, mcp_fresh());
  return &mcp_result_of_call;
}
#define MCP_DONE(number, name) \
  MCP_EXPORT("cabi_post_wasi:mcp/handlers@0.1.0#" name) void mcp_d##number(void *result) { (void)result; mcp_used = 0; }
MCP_DONE(1, "call-tool") MCP_DONE(2, "read-resource") MCP_DONE(3, "get-prompt") MCP_DONE(4, "handle-subscribe")
MCP_DONE(5, "handle-unsubscribe") MCP_DONE(6, "handle-complete") MCP_DONE(7, "handle-elicit")

#endif
