// A server that does in every handler what its argument says: err, trap, loop, memory, flood, logs, utf8, late, twice.
// Names, URIs and values end in the word; anything else is answered well. A subscription to `bad://` misbehaves when it
// begins, one to `bye://` when it ends.
#include "wasi_mcp.h"

static mcp_done done;

static bool ends(mcp_str text, const char *word) {
  size_t size = mcp_length(word);
  for (size_t at = 0; at < size; at++)
    if (size > text.size || text.text[text.size - size + at] != word[at]) return false;
  return true;
}

#define OBJECT "{\"type\":\"object\"}"
#define TOOL(word) {.name = {word, sizeof word - 1}, .description = {word, sizeof word - 1}, .input = {OBJECT, sizeof OBJECT - 1}}
static const mcp_tool TOOLS[] = {TOOL("good"), TOOL("err"), TOOL("trap"), TOOL("loop"), TOOL("memory"), TOOL("flood"),
                                 TOOL("logs"), TOOL("utf8"), TOOL("late"), TOOL("twice"), TOOL("progress"), TOOL("notes")};
#define PROMPT(word) {.name = {word, sizeof word - 1}}
static const mcp_prompt PROMPTS[] = {PROMPT("good"), PROMPT("err"), PROMPT("trap"), PROMPT("loop"), PROMPT("memory"),
                                     PROMPT("flood"), PROMPT("logs"), PROMPT("utf8"), PROMPT("late"), PROMPT("twice")};

bool run(void) {
  mcp_server_info info = {.name = MCP_STR("bad-c"), .version = MCP_STR("1"), .instructions = MCP_SOME("Misbehave.")};
  info.capabilities.tools.is = info.capabilities.prompts.is = info.capabilities.resources.is = 1;
  info.capabilities.completions.is = info.capabilities.logging.is = info.capabilities.elicitation.is = 1;
  info.capabilities.resources.subscribe = (mcp_opt_bool){1, 1};
  mcp_resource resources[] = {{.uri = MCP_STR("bad://good"), .name = MCP_STR("good")}};
  mcp_template templates[] = {{.uri = MCP_STR("bad://{how}"), .name = MCP_STR("how")}};
  mcp_register_server(&info, &done);
  if (!done.failed) mcp_register_tools(TOOLS, sizeof TOOLS / sizeof *TOOLS, &done);
  if (!done.failed) mcp_register_resources(resources, 1, &done);
  if (!done.failed) mcp_register_templates(templates, 1, &done);
  if (!done.failed) mcp_register_prompts(PROMPTS, sizeof PROMPTS / sizeof *PROMPTS, &done);
  if (!done.failed) mcp_serve(&done);
  return !done.failed;
}

// What a host said to something that it should refuse.
static void refused(mcp_result *result) {
  mcp_str message = MCP_STR("the host took it");
  if (done.failed) mcp_error_message(done.error, &message);
  mcp_answer(result, message.text, message.size);
}

// Whether the word was one of those; the result is filled in then, if it ever comes to that.
static bool misbehave(mcp_str how, mcp_result *result) {
  static char flood[1 << 20];
  if (ends(how, "err")) {
    mcp_fail(result, MCP_RATE_LIMITED, "slow down");
  } else if (ends(how, "trap")) {
    __builtin_trap();
  } else if (ends(how, "loop")) {
    for (volatile int at = 0;; at++) {}
  } else if (ends(how, "memory")) {
    for (;;)
      if (__builtin_wasm_memory_grow(0, 16) == (size_t)-1) __builtin_trap();
  } else if (ends(how, "flood")) {
    mcp_block *blocks = mcp_alloc(100 * sizeof *blocks);
    __builtin_memset(flood, 'x', sizeof flood);
    for (int at = 0; at < 100; at++) blocks[at] = mcp_text(flood, sizeof flood);
    result->items = blocks;
    result->count = 100;
  } else if (ends(how, "logs")) {
    for (int at = 0; at < 500; at++) mcp_log(MCP_INFO, "again", 5, 0, 0, 0, &done);
    mcp_answer(result, "logged", 6);
  } else if (ends(how, "utf8")) {
    mcp_answer(result, "\xff\xfe lies", 7);
  } else if (ends(how, "late")) {
    mcp_register_tools(TOOLS, 1, &done);
    refused(result);
  } else if (ends(how, "twice")) {
    mcp_serve(&done);
    refused(result);
  } else {
    return false;
  }
  return true;
}

void call_tool(mcp_str name, mcp_str arguments, mcp_result *result) {
  if (misbehave(name, result)) return;
  if (ends(name, "progress")) {
    for (int at = 0; at <= 2; at++) mcp_progress("any", 3, at, 1, 2, &done);
  } else if (ends(name, "notes")) {
    mcp_str uri = MCP_STR("bad://good");
    mcp_notify(MCP_RESOURCES_UPDATED, (int)&uri, 1, 0, 0, 0, 0, &done);
    if (!done.failed) mcp_log(MCP_WARNING, "told", 4, 1, "{\"k\":1}", 7, &done);
  }
  if (done.failed) refused(result);
  else mcp_answer(result, arguments.text, arguments.size);
}

void read_resource(mcp_str uri, mcp_result *result) {
  if (!misbehave(uri, result)) mcp_answer(result, uri.text, uri.size);
}

void get_prompt(mcp_str name, mcp_opt_str arguments, mcp_result *result) {
  mcp_message *message = mcp_alloc(sizeof *message);
  (void)arguments;
  if (misbehave(name, result) && result->failed) return;
  *message = (mcp_message){MCP_SYSTEM, result->count ? *(const mcp_block *)result->items : mcp_text("hello", 5)};
  if (result->count < 2) {
    result->items = message;
    result->count = 1;
  } else { // a flood of messages
    mcp_message *messages = mcp_alloc(result->count * sizeof *messages);
    for (size_t at = 0; at < result->count; at++) messages[at] = *message;
    result->items = messages;
  }
}

// Results without a value: what the host refused is said by an error, and an error is where a lie can be.
static void nothing(mcp_str uri, const char *when, mcp_result *result) {
  if (__builtin_memcmp(uri.text, when, 3)) return;
  if (ends(uri, "utf8")) mcp_fail(result, MCP_INVALID_PARAMS, "\xff\xfe lies");
  else if (misbehave(uri, result) && !result->failed) *result = (mcp_result){0};
  if (ends(uri, "late") || ends(uri, "twice")) {
    result->failed = 1;
    result->error = done.error;
  }
}

void handle_subscribe(mcp_str uri, mcp_result *result) { nothing(uri, "bad", result); }

void handle_unsubscribe(mcp_str uri, mcp_result *result) { nothing(uri, "bye", result); }

void handle_complete(int kind, mcp_str value, mcp_result *result) {
  static const char *words[] = {"err", "trap", "loop", "memory", "flood", "logs", "utf8", "late", "twice"};
  (void)kind;
  // The value is JSON: {"ref": …, "argument": {"name": …, "value": "err"}}; find the word in it.
  for (size_t word = 0; word < sizeof words / sizeof *words; word++) {
    size_t size = mcp_length(words[word]);
    for (size_t at = 0; at + size <= value.size; at++)
      if (ends((mcp_str){value.text, at + size}, words[word]) && misbehave((mcp_str){value.text, at + size}, result)) {
        if (result->failed) return;
        at = value.size, word = sizeof words / sizeof *words - 1;
      }
  }
  size_t count = result->count ? result->count : 1;
  mcp_completion *found = mcp_alloc(count * sizeof *found);
  for (size_t at = 0; at < count; at++)
    found[at] = (mcp_completion){result->count ? ((const mcp_block *)result->items)[at].text.text : MCP_STR("done"), {0}};
  result->items = found;
  result->count = count;
}

void handle_elicit(mcp_str message, const mcp_field *fields, size_t count, mcp_result *result) {
  static char said[512] = "{\"said\":\"";
  size_t size = 9;
  (void)fields, (void)count;
  if (ends(message, "flood")) {
    *result = (mcp_result){.items = mcp_alloc(8 << 20), .count = 8 << 20};
    return;
  }
  if (ends(message, "utf8")) {
    *result = (mcp_result){.items = "\xff\xfe", .count = 2};
    return;
  }
  if (!misbehave(message, result)) mcp_answer(result, "well done", 9);
  if (result->failed) return;
  mcp_str text = ((const mcp_block *)result->items)->text.text;
  for (size_t at = 0; at < text.size && size + 2 < sizeof said; at++) said[size++] = text.text[at];
  said[size++] = '"', said[size++] = '}';
  *result = (mcp_result){.items = said, .count = size};
}
