// Tools in C: `rune wasm build examples/wasm/words.c`, then `rune serve words.wasm`.
#include "rune.h"

static bool blank(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }

static void count_words(rune_call *call) {
  const char *text = rune_string(call, "text");
  int words = 0;
  if (!text) {
    rune_fail(call, "count_words: text is missing");
    return;
  }
  for (const char *at = text; *at; at++)
    if (!blank(*at) && (at == text || blank(at[-1]))) words++;
  rune_answer_integer(call, words);
}

static void echo(rune_call *call) {
  const char *text = rune_string(call, "text");
  rune_answer(call, text ? text : "");
}

#define TEXT "{\"type\":\"object\",\"properties\":{\"text\":{\"type\":\"string\"}},\"required\":[\"text\"]}"

RUNE_TOOLS(
  {"count_words", "Count the words of a text.", TEXT, count_words},
  {"echo", "Answer with the text.", TEXT, echo},
)
