// A server that asks each function of the runtime for what the host must refuse: before it serves (the description of
// the tool `before` says what it was told) and afterwards (the tool `after` does). Its other tools pass what is no UTF-8.
#include "wasi_mcp.h"

static mcp_done done;
static char told[8192];
static size_t size;

static void put(mcp_str text) {
  for (size_t at = 0; at < text.size && size + 3 < sizeof told; at++) {
    if (text.text[at] == '"' || text.text[at] == '\\') told[size++] = '\\';
    told[size++] = text.text[at];
  }
}

// One member of a JSON object: what was tried, and what the host said.
static void note(const char *what) {
  mcp_str message = MCP_STR("taken");
  if (done.failed) mcp_error_message(done.error, &message);
  told[size++] = size ? ',' : '{';
  told[size++] = '"', put(MCP_STR(what)), told[size++] = '"', told[size++] = ':';
  told[size++] = '"', put(message), told[size++] = '"';
}

#define OBJECT "{\"type\":\"object\"}"
#define LIE "\xff\xfe"
#define TRY(what, call) (call, note(what))

static mcp_tool tool(const char *name, const char *schema) {
  return (mcp_tool){.name = MCP_STR(name), .description = MCP_STR(name), .input = MCP_STR(schema)};
}
static mcp_resource resource(const char *uri) { return (mcp_resource){.uri = MCP_STR(uri), .name = MCP_STR("odd")}; }
static mcp_template template(const char *uri) { return (mcp_template){.uri = MCP_STR(uri), .name = MCP_STR("odd")}; }
static mcp_prompt prompt(const char *name) { return (mcp_prompt){.name = MCP_STR(name)}; }
static mcp_server_info server(const char *name) {
  mcp_server_info info = {.name = MCP_STR(name), .version = MCP_STR("1")};
  info.capabilities.tools.is = info.capabilities.prompts.is = info.capabilities.resources.is = 1;
  info.capabilities.logging.is = 1;
  return info;
}

static void before(void) {
  mcp_server_info info = server("again");
  mcp_tool tools[] = {tool("odd", OBJECT), tool("odd", OBJECT)};
  mcp_resource resources[] = {resource("odd://a"), resource("odd://a")};
  mcp_template templates[] = {template("odd://{a}"), template("odd://{a}")};
  mcp_prompt prompts[] = {prompt("odd"), prompt("odd")};
  TRY("register-server again", mcp_register_server(&info, &done));
  TRY("register-tools double", mcp_register_tools(tools, 2, &done));
  TRY("register-resources double", mcp_register_resources(resources, 2, &done));
  TRY("register-resource-templates double", mcp_register_templates(templates, 2, &done));
  TRY("register-prompts double", mcp_register_prompts(prompts, 2, &done));
  tools[0] = tool("", OBJECT), resources[0] = resource(""), templates[0] = template(""), prompts[0] = prompt("");
  TRY("register-tools nameless", mcp_register_tools(tools, 1, &done));
  TRY("register-resources nameless", mcp_register_resources(resources, 1, &done));
  TRY("register-resource-templates nameless", mcp_register_templates(templates, 1, &done));
  TRY("register-prompts nameless", mcp_register_prompts(prompts, 1, &done));
  tools[0] = tool("odd", "{\"type\":");
  TRY("register-tools broken", mcp_register_tools(tools, 1, &done));
  tools[0] = tool("odd", "{\"type\":\"string\"}");
  TRY("register-tools string", mcp_register_tools(tools, 1, &done));
  TRY("send-notification early", mcp_notify(MCP_TOOLS_CHANGED, 0, 0, 0, 0, 0, 0, &done));
  TRY("report-progress early", mcp_progress("x", 1, 1, 0, 0, &done));
  TRY("log broken", mcp_log(MCP_INFO, "x", 1, 1, LIE, 2, &done));
}

static void after(void) {
  mcp_server_info info = server("late");
  mcp_tool tools[] = {tool("late", OBJECT)};
  mcp_resource resources[] = {resource("late://a")};
  mcp_template templates[] = {template("late://{a}")};
  mcp_prompt prompts[] = {prompt("late")};
  size = 0;
  TRY("register-server late", mcp_register_server(&info, &done));
  TRY("register-tools late", mcp_register_tools(tools, 1, &done));
  TRY("register-resources late", mcp_register_resources(resources, 1, &done));
  TRY("register-resource-templates late", mcp_register_templates(templates, 1, &done));
  TRY("register-prompts late", mcp_register_prompts(prompts, 1, &done));
  TRY("serve twice", mcp_serve(&done));
  TRY("send-notification cancelled", mcp_notify(MCP_CANCELLED, (int)"x", 1, 0, 0, 0, 0, &done));
  TRY("log broken late", mcp_log(MCP_INFO, "x", 1, 1, LIE, 2, &done));
  TRY("report-progress taken", mcp_progress("x", 1, 1, 0, 0, &done));
}

static const char *LIES[] = {"register-server", "register-tools", "register-resources", "register-resource-templates",
                             "register-prompts", "send-notification", "log", "report-progress"};

static void lie(size_t about) {
  mcp_server_info info = server(LIE);
  mcp_tool tools[] = {tool(LIE, OBJECT)};
  mcp_resource resources[] = {resource(LIE)};
  mcp_template templates[] = {template(LIE)};
  mcp_prompt prompts[] = {prompt(LIE)};
  switch (about) {
    case 0: mcp_register_server(&info, &done); break;
    case 1: mcp_register_tools(tools, 1, &done); break;
    case 2: mcp_register_resources(resources, 1, &done); break;
    case 3: mcp_register_templates(templates, 1, &done); break;
    case 4: mcp_register_prompts(prompts, 1, &done); break;
    case 5: mcp_notify(MCP_CANCELLED, (int)LIE, 2, 0, 0, 0, 0, &done); break;
    case 6: mcp_log(MCP_INFO, LIE, 2, 0, 0, 0, &done); break;
    default: mcp_progress(LIE, 2, 1, 0, 0, &done);
  }
}

bool run(void) {
  mcp_server_info info = server("wrong");
  mcp_tool tools[2 + sizeof LIES / sizeof *LIES] = {tool("before", OBJECT), tool("after", OBJECT)};
  mcp_resource resources[] = {resource("good://a")};
  mcp_template templates[] = {template("good://{a}")};
  mcp_prompt prompts[] = {prompt("good")};
  size = 0;
  mcp_register_server(&info, &done);
  before();
  told[size] = '}';
  tools[0].description = (mcp_str){told, size + 1};
  for (size_t at = 0; at < sizeof LIES / sizeof *LIES; at++) tools[2 + at] = tool(LIES[at], OBJECT);
  mcp_register_tools(tools, sizeof tools / sizeof *tools, &done);
  if (!done.failed) mcp_register_resources(resources, 1, &done);
  if (!done.failed) mcp_register_templates(templates, 1, &done);
  if (!done.failed) mcp_register_prompts(prompts, 1, &done);
  if (!done.failed) mcp_serve(&done);
  return !done.failed;
}

void call_tool(mcp_str name, mcp_str arguments, mcp_result *result) {
  (void)arguments;
  for (size_t at = 0; at < sizeof LIES / sizeof *LIES; at++)
    if (name.size == mcp_length(LIES[at]) && !__builtin_memcmp(name.text, LIES[at], name.size)) lie(at);
  after();
  told[size] = '}';
  mcp_answer(result, told, size + 1);
}

void read_resource(mcp_str uri, mcp_result *result) { mcp_answer(result, uri.text, uri.size); }
void get_prompt(mcp_str name, mcp_opt_str arguments, mcp_result *result) {
  (void)name, (void)arguments;
  *result = (mcp_result){0};
}
void handle_subscribe(mcp_str uri, mcp_result *result) { (void)uri, (void)result; }
void handle_unsubscribe(mcp_str uri, mcp_result *result) { (void)uri, (void)result; }
void handle_complete(int kind, mcp_str value, mcp_result *result) { (void)kind, (void)value, (void)result; }
void handle_elicit(mcp_str message, const mcp_field *fields, size_t count, mcp_result *result) {
  (void)message, (void)fields, (void)count;
  mcp_fail(result, MCP_METHOD_NOT_FOUND, "no forms");
}
