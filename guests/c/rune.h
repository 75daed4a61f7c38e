// Rune inside a WebAssembly component: tools in C, over rune:guest@0.1.0. Include it in one file only and end that file
// with RUNE_TOOLS(...); `rune wasm build main.c` does the rest. It needs no C library; a file that includes more than
// the four headers below is built with one.
#ifndef RUNE_H
#define RUNE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RUNE_IMPORT(name) __attribute__((import_module("rune:guest/host@0.1.0"), import_name(name)))
#define RUNE_EXPORT(name) __attribute__((export_name(name)))

// Strings, options and results as the component model lays them out in memory; C has the same alignment.
typedef struct { const char *text; size_t size; } rune_str;
typedef struct { uint8_t is; rune_str value; } rune_option;
typedef struct {
  uint8_t failed;
  union {
    rune_str answer;
    struct { int32_t code; rune_str message; rune_option data; } error;
  };
} rune_result;

RUNE_IMPORT("call") void rune_host_call(rune_str *answer);
RUNE_IMPORT("log") void rune_host_log(int level, int named, const char *logger, size_t size, const char *data, size_t n);
RUNE_IMPORT("progress") void rune_host_progress(double done, int bound, double total, int said, const char *text, size_t n);

enum { RUNE_DEBUG, RUNE_INFO, RUNE_NOTICE, RUNE_WARNING, RUNE_ERROR, RUNE_CRITICAL, RUNE_ALERT, RUNE_EMERGENCY };

// --- memory: of one call, all of it given back when the call ends ---

#define RUNE_ROOM (64 << 10)
static unsigned char rune_first[RUNE_ROOM] __attribute__((aligned(16)));
static unsigned char *rune_more; // one block above all, for calls that need more; it grows and is used again
static size_t rune_used, rune_wide, rune_used_more;

static inline void *rune_alloc(size_t size) {
  size = (size + 15) & ~(size_t)15;
  if (size <= RUNE_ROOM - rune_used) return rune_first + (rune_used += size) - size;
  if (!rune_more) rune_more = (unsigned char *)(__builtin_wasm_memory_size(0) << 16);
  if (size > rune_wide - rune_used_more) {
    size_t pages = (size - (rune_wide - rune_used_more) + 65535) >> 16;
    if (__builtin_wasm_memory_grow(0, pages) == (size_t)-1) __builtin_trap(); // the host replaces the instance
    rune_wide += pages << 16;
  }
  return rune_more + (rune_used_more += size) - size;
}

static inline void rune_free_all(void) { rune_used = rune_used_more = 0; }

// Eight bytes at a time: loops of a guest are asked after each round whether they must stop.
#define RUNE_EACH(byte) (0x0101010101010101u * (byte))
#define RUNE_BELOW(word, byte) (((word) - RUNE_EACH(byte)) & ~(word) & RUNE_EACH(0x80))

static inline size_t rune_length(const char *text) {
  const char *at = text;
  // From a multiple of eight on, eight bytes are in memory where one is.
  for (; (uintptr_t)at & 7; at++)
    if (!*at) return at - text;
  for (uint64_t word;; at += 8) {
    __builtin_memcpy(&word, at, 8);
    if (RUNE_BELOW(word, 1)) break;
  }
  while (*at) at++;
  return at - text;
}

// The first of a text that JSON may not have as it is in a string: a quote, a backslash, a control character.
static inline const char *rune_plain(const char *at, const char *end) {
  for (uint64_t word; end - at >= 8; at += 8) {
    __builtin_memcpy(&word, at, 8);
    uint64_t quote = word ^ RUNE_EACH('"'), slash = word ^ RUNE_EACH('\\');
    if (RUNE_BELOW(word, 0x20) | RUNE_BELOW(quote, 1) | RUNE_BELOW(slash, 1)) break;
  }
  while (at < end && (unsigned char)*at >= 0x20 && *at != '"' && *at != '\\') at++;
  return at;
}

static inline bool rune_same(const char *one, const char *other, size_t size) {
  for (size_t at = 0; at < size; at++)
    if (one[at] != other[at]) return false;
  return true;
}

static inline bool rune_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

// A text that grows.
typedef struct { char *text; size_t size, room; } rune_text;

static inline void rune_put(rune_text *to, const char *from, size_t size) {
  if (to->size + size + 1 > to->room) {
    char *old = to->text;
    to->text = rune_alloc(to->room = (to->size + size + 1) * 2);
    if (to->size) __builtin_memcpy(to->text, old, to->size);
  }
  if (size) __builtin_memcpy(to->text + to->size, from, size);
  to->text[to->size += size] = 0;
}

static inline void rune_puts(rune_text *to, const char *from) { rune_put(to, from, rune_length(from)); }

static inline void rune_quote(rune_text *to, const char *from, size_t size) {
  rune_puts(to, "\"");
  for (const char *end = from + size;; from++) {
    const char *plain = rune_plain(from, end);
    rune_put(to, from, plain - from);
    if (plain == end) break;
    from = plain;
    unsigned char c = *from;
    char escape[8];
    if (c < 0x20) { __builtin_memcpy(escape, "\\u00", 4); escape[4] = '0' + (c >> 4); escape[5] = "0123456789abcdef"[c & 15]; }
    else { escape[0] = '\\'; escape[1] = c; }
    rune_put(to, escape, c < 0x20 ? 6 : 2);
  }
  rune_puts(to, "\"");
}

// A tool that is being called: its arguments as JSON, and what it answers.
typedef struct {
  const char *arguments, *end;
  rune_text answer;
  bool failed;
} rune_call;

static inline const char *rune_skip_string(const char *at, const char *end) {
  for (at = rune_plain(at + 1, end); at < end && *at != '"'; at = rune_plain(at, end)) at += *at == '\\' ? 2 : 1;
  return at + 1;
}

// The value of a member of the arguments, where it begins; NULL if it is not there.
static inline const char *rune_member(rune_call *call, const char *name) {
  int depth = 0;
  for (const char *at = call->arguments; at < call->end; at++) {
    if (*at == '{' || *at == '[') depth++;
    else if (*at == '}' || *at == ']') depth--;
    else if (*at == '"') {
      const char *key = at + 1, *after = rune_skip_string(at, call->end);
      const char *colon = after;
      while (colon < call->end && rune_blank(*colon)) colon++;
      if (depth == 1 && colon < call->end && *colon == ':' && (size_t)(after - 1 - key) == rune_length(name) &&
          rune_same(key, name, rune_length(name))) {
        for (colon++; colon < call->end && rune_blank(*colon); colon++) {}
        return colon < call->end ? colon : NULL;
      }
      at = after - 1;
    }
  }
  return NULL;
}

static inline unsigned rune_hex(const char *at) {
  unsigned code = 0;
  for (int i = 0; i < 4; i++) code = code * 16 + (at[i] <= '9' ? at[i] - '0' : (at[i] | 32) - 'a' + 10);
  return code;
}

static inline char *rune_utf8(char *to, unsigned code) {
  if (code < 0x80) *to++ = code;
  else if (code < 0x800) { *to++ = 0xc0 | code >> 6; *to++ = 0x80 | (code & 63); }
  else if (code < 0x10000) { *to++ = 0xe0 | code >> 12; *to++ = 0x80 | (code >> 6 & 63); *to++ = 0x80 | (code & 63); }
  else {
    *to++ = 0xf0 | code >> 18; *to++ = 0x80 | (code >> 12 & 63);
    *to++ = 0x80 | (code >> 6 & 63); *to++ = 0x80 | (code & 63);
  }
  return to;
}

// A string argument, or NULL if there is none.
static inline const char *rune_string(rune_call *call, const char *name) {
  const char *at = rune_member(call, name);
  if (!at || *at != '"') return NULL;
  const char *end = rune_skip_string(at, call->end) - 1;
  char *text = rune_alloc(end - at), *to = text;
  for (at++;; at++) {
    const char *plain = rune_plain(at, end);
    __builtin_memcpy(to, at, plain - at);
    to += plain - at;
    if ((at = plain) >= end) break;
    if (*at != '\\') { *to++ = *at; continue; }
    char c = *++at;
    if (c == 'u') {
      unsigned code = rune_hex(at + 1);
      at += 4;
      if (code >> 10 == 0x36 && at[1] == '\\') { code = 0x10000 + ((code & 1023) << 10) + (rune_hex(at + 3) & 1023); at += 6; }
      to = rune_utf8(to, code);
    } else *to++ = c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c == 'b' ? '\b' : c == 'f' ? '\f' : c;
  }
  *to = 0;
  return text;
}

// A whole number, or `otherwise` if there is none.
static inline long rune_integer(rune_call *call, const char *name, long otherwise) {
  const char *at = rune_member(call, name);
  bool minus = at && *at == '-';
  long value = 0;
  if (!at || at[minus] < '0' || at[minus] > '9') return otherwise;
  for (at += minus; at < call->end && *at >= '0' && *at <= '9'; at++) value = value * 10 + (*at - '0');
  return minus ? -value : value;
}

static inline void rune_answer(rune_call *call, const char *text) { rune_puts(&call->answer, text); }
static inline void rune_fail(rune_call *call, const char *text) { call->failed = true; rune_puts(&call->answer, text); }

static inline void rune_answer_integer(rune_call *call, long value) {
  char digits[24], *at = digits + sizeof digits;
  unsigned long rest = value < 0 ? -(unsigned long)value : (unsigned long)value;
  do *--at = '0' + rest % 10; while (rest /= 10);
  if (value < 0) *--at = '-';
  rune_put(&call->answer, at, digits + sizeof digits - at);
}

static inline void rune_log(int level, const char *text) {
  rune_text data = {0};
  rune_quote(&data, text, rune_length(text));
  rune_host_log(level, 0, NULL, 0, data.text, data.size);
}

static inline void rune_progress(double done, double total) { rune_host_progress(done, 1, total, 0, NULL, 0); }

typedef struct {
  const char *name, *description, *schema;
  void (*run)(rune_call *call);
} rune_tool;

extern const rune_tool rune_tools[];

#define RUNE_TOOLS(...) const rune_tool rune_tools[] = {__VA_ARGS__ {0}};

RUNE_EXPORT("cabi_realloc") void *rune_realloc(void *old, size_t before, size_t align, size_t size) {
  void *found = size ? rune_alloc(size) : (void *)align;
  if (before && size) __builtin_memcpy(found, old, before < size ? before : size);
  return found;
}

RUNE_EXPORT("rune:guest/tools@0.1.0#list-tools") rune_str *rune_list_tools(void) {
  static rune_str answer;
  rune_text list = {0};
  for (const rune_tool *tool = rune_tools; tool->name; tool++) {
    rune_puts(&list, tool == rune_tools ? "[{\"name\":" : ",{\"name\":");
    rune_quote(&list, tool->name, rune_length(tool->name));
    rune_puts(&list, ",\"description\":");
    rune_quote(&list, tool->description, rune_length(tool->description));
    rune_puts(&list, ",\"inputSchema\":");
    rune_puts(&list, tool->schema);
    rune_puts(&list, "}");
  }
  rune_puts(&list, rune_tools->name ? "]" : "[]");
  answer = (rune_str){list.text, list.size};
  return &answer;
}

RUNE_EXPORT("cabi_post_rune:guest/tools@0.1.0#list-tools") void rune_list_tools_done(void *answer) {
  (void)answer;
  rune_free_all();
}

RUNE_EXPORT("rune:guest/tools@0.1.0#call-tool")
rune_result *rune_call_tool(char *name, size_t size, char *arguments, size_t n) {
  static rune_result result;
  rune_call call = {.arguments = arguments, .end = arguments + n};
  const rune_tool *tool = rune_tools;
  while (tool->name && (rune_length(tool->name) != size || !rune_same(tool->name, name, size))) tool++;
  result = (rune_result){0};
  if (tool->name) {
    rune_text said = {0};
    tool->run(&call);
    rune_puts(&said, "{\"content\":[{\"type\":\"text\",\"text\":");
    rune_quote(&said, call.answer.text, call.answer.size);
    rune_puts(&said, call.failed ? "}],\"isError\":true}" : "}]}");
    result.answer = (rune_str){said.text, said.size};
  } else {
    rune_text said = {0};
    rune_puts(&said, "no tool ");
    rune_put(&said, name, size);
    result.failed = 1;
    result.error.code = -32602;
    result.error.message = (rune_str){said.text, said.size};
  }
  return &result;
}

RUNE_EXPORT("cabi_post_rune:guest/tools@0.1.0#call-tool") void rune_call_tool_done(void *result) {
  (void)result;
  rune_free_all();
}

#endif
