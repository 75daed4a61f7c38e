// The same as stay.js, in C: a program that ends when serve() does.
#include "wasi_mcp.h"

static mcp_done done;
static int calls, inside;

#define OBJECT "{\"type\":\"object\"}"
#define TOOL(word) {.name = {word, sizeof word - 1}, .description = {word, sizeof word - 1}, .input = {OBJECT, sizeof OBJECT - 1}}
static const mcp_tool TOOLS[] = {TOOL("count"), TOOL("fail"), TOOL("spin"), TOOL("inside"), TOOL("step")};

bool run(void) {
  mcp_server_info info = {.name = MCP_STR("stay"), .version = MCP_STR("1")};
  info.capabilities.tools.is = 1;
  mcp_register_server(&info, &done);
  mcp_register_tools(TOOLS, sizeof TOOLS / sizeof *TOOLS, &done);
  inside = 1;
  mcp_serve(&done);
  inside = 0;
  return false;
}

void call_tool(mcp_str name, mcp_str arguments, mcp_result *result) {
  static char digits[2];
  (void)arguments;
  switch (name.text[0]) {
  case 'c':
    digits[0] = (char)('0' + ++calls);
    mcp_answer(result, digits, 1);
    return;
  case 'f':
    __builtin_trap();
  case 'i':
    mcp_answer(result, inside ? "true" : "false", inside ? 4 : 5);
    return;
  case 's':
    if (name.text[1] == 'p')
      for (volatile int at = 0;; at++) {}
    mcp_progress("any", 3, 1, 1, 2, &done);
    mcp_answer(result, "stepped", 7);
  }
}

void read_resource(mcp_str uri, mcp_result *result) { (void)uri, mcp_fail(result, MCP_RESOURCE_NOT_FOUND, "not here"); }
void get_prompt(mcp_str name, mcp_opt_str given, mcp_result *result) {
  (void)name, (void)given, mcp_fail(result, MCP_PROMPT_NOT_FOUND, "not here");
}
void handle_subscribe(mcp_str uri, mcp_result *result) { read_resource(uri, result); }
void handle_unsubscribe(mcp_str uri, mcp_result *result) { read_resource(uri, result); }
void handle_complete(int kind, mcp_str value, mcp_result *result) { (void)kind, read_resource(value, result); }
void handle_elicit(mcp_str message, const mcp_field *fields, size_t count, mcp_result *result) {
  // What it is asked is what it answers, if there is something to fill in.
  (void)fields;
  if (count) *result = (mcp_result){.items = message.text, .count = message.size};
  else read_resource(message, result);
}
