// The guest in C.
#include "rune.h"

static void echo(rune_call *call) { rune_answer(call, rune_string(call, "text")); }

static void length(rune_call *call) { rune_answer_integer(call, rune_length(rune_string(call, "text"))); }

static void work(rune_call *call) {
  volatile long found = 0;
  for (long at = 0, rounds = rune_integer(call, "rounds", 0); at < rounds; at++) found = (found * 31 + at) & 0xFFFFF;
  rune_answer_integer(call, found);
}

#define TEXT "{\"type\":\"object\",\"properties\":{\"text\":{\"type\":\"string\"}},\"required\":[\"text\"]}"
#define ROUNDS "{\"type\":\"object\",\"properties\":{\"rounds\":{\"type\":\"integer\"}},\"required\":[\"rounds\"]}"

RUNE_TOOLS(
  {"echo", "Say it again.", TEXT, echo},
  {"length", "How long it is.", TEXT, length},
  {"work", "Compute for a while.", ROUNDS, work},
)
