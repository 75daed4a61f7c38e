;; A guest of rune:guest written by hand: no toolchain, built in a millisecond. The first letter of a tool says what it does.
(component
  (import "rune:guest/host@0.1.0" (instance $host
    (export "call" (func (result string)))
    (type $listing (enum "tools" "resources" "prompts"))
    (export "listing" (type $exported (eq $listing)))
    (export "progress" (func (param "progress" f64) (param "total" (option f64)) (param "message" (option string))))
    (export "changed" (func (param "what" $exported)))))

  (core module $memory
    (memory (export "memory") 2)
    (global $at (mut i32) (i32.const 4096))
    ;; Grows when it must: what is handed in may be large. Calls begin anew at the bottom.
    (func (export "reset") (global.set $at (i32.const 4096)))
    (func (export "realloc") (param $old i32) (param $size i32) (param $align i32) (param $new i32) (result i32)
      (local $found i32)
      (local.set $found (i32.and (i32.add (global.get $at) (i32.const 15)) (i32.const -16)))
      (global.set $at (i32.add (local.get $found) (local.get $new)))
      (block $fits
        (loop $more
          (br_if $fits (i32.le_u (global.get $at) (i32.mul (memory.size) (i32.const 65536))))
          (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))
          (unreachable)))
      (memory.copy (local.get $found) (local.get $old) (local.get $size))
      (local.get $found)))
  (core instance $mem (instantiate $memory))
  (alias core export $mem "memory" (core memory $m))
  (alias core export $mem "realloc" (core func $realloc))

  (alias export $host "call" (func $call))
  (alias export $host "progress" (func $progress))
  (alias export $host "changed" (func $changed))
  (core func $call-core (canon lower (func $call) (memory $m) (realloc $realloc)))
  (core func $progress-core (canon lower (func $progress) (memory $m)))
  (core func $changed-core (canon lower (func $changed)))

  (core module $code
    (import "mem" "memory" (memory 2))
    (import "mem" "reset" (func $reset))
    (import "host" "call" (func $call (param i32)))
    (import "host" "progress" (func $progress (param f64 i32 f64 i32 i32 i32)))
    (import "host" "changed" (func $changed (param i32)))
    (data (i32.const 1024) "{\22content\22:[],\22structuredContent\22:")
    (data (i32.const 1100) "half way")
    (data (i32.const 1120) "{\22content\22:[]}")
    (data (i32.const 1140) "\ff\fe{}")
    (data (i32.const 1200) "LISTED")
    (global $calls (mut i32) (i32.const 0))
    (func (export "list") (result i32)
      (i32.store (i32.const 64) (i32.const 1200))
      (i32.store (i32.const 68) (i32.const SIZE))
      (i32.const 64))
    ;; The answer is at 128: 0 or 1 for ok or err, then ptr and len, or code, message and option of data.
    (func $ok (param $at i32) (param $size i32) (result i32)
      (i32.store (i32.const 128) (i32.const 0))
      (i32.store (i32.const 132) (local.get $at))
      (i32.store (i32.const 136) (local.get $size))
      (i32.const 128))
    (func (export "tool") (param $name i32) (param $n i32) (param $args i32) (param $size i32) (result i32)
      (local $letter i32) (local $end i32)
      (local.set $letter (i32.load8_u (local.get $name)))
      ;; e: its arguments are the whole result
      (if (i32.eq (local.get $letter) (i32.const 101)) (then (return (call $ok (local.get $args) (local.get $size)))))
      ;; t: a trap
      (if (i32.eq (local.get $letter) (i32.const 116)) (then (unreachable)))
      ;; s: runs for ever
      (if (i32.eq (local.get $letter) (i32.const 115)) (then (loop $ever (br $ever))))
      ;; b: takes all memory that it gets
      (if (i32.eq (local.get $letter) (i32.const 98)) (then
        (loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
        (unreachable)))
      ;; r: refuses with its arguments as the message
      (if (i32.eq (local.get $letter) (i32.const 114)) (then
        (i32.store (i32.const 128) (i32.const 1))
        (i32.store (i32.const 132) (i32.const -32602))
        (i32.store (i32.const 136) (local.get $args))
        (i32.store (i32.const 140) (local.get $size))
        (i32.store (i32.const 144) (i32.const 0))
        (return (i32.const 128))))
      ;; w: what it is told about the call
      (if (i32.eq (local.get $letter) (i32.const 119)) (then
        (call $call (i32.const 96))
        (local.set $size (i32.load (i32.const 100)))
        (memory.copy (i32.const 1058) (i32.load (i32.const 96)) (local.get $size))
        (local.set $end (i32.add (i32.const 1058) (local.get $size)))
        (i32.store8 (local.get $end) (i32.const 125))
        (return (call $ok (i32.const 1024) (i32.add (local.get $size) (i32.const 35))))))
      ;; p: progress 1 of 2
      (if (i32.eq (local.get $letter) (i32.const 112)) (then
        (call $progress (f64.const 1) (i32.const 1) (f64.const 2) (i32.const 1) (i32.const 1100) (i32.const 8))))
      ;; l: says that its tools have changed
      (if (i32.eq (local.get $letter) (i32.const 108)) (then (call $changed (i32.const 0))))
      ;; u: text that is no UTF-8
      (if (i32.eq (local.get $letter) (i32.const 117)) (then (return (call $ok (i32.const 1140) (i32.const 4)))))
      ;; f: a flood of 100 MB
      (if (i32.eq (local.get $letter) (i32.const 102)) (then
        (drop (memory.grow (i32.const 1600)))
        (memory.fill (i32.const 65536) (i32.const 32) (i32.const 104857600))
        (return (call $ok (i32.const 65536) (i32.const 104857600)))))
      ;; n: how many times this instance was asked
      (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
      (if (i32.eq (local.get $letter) (i32.const 110)) (then
        (i32.store8 (i32.const 1058) (i32.add (i32.const 48) (global.get $calls)))
        (i32.store8 (i32.const 1059) (i32.const 125))
        (return (call $ok (i32.const 1024) (i32.const 36)))))
      (call $ok (i32.const 1120) (i32.const 14)))
    (func (export "done") (param i32) (call $reset)))
  (core instance $core (instantiate $code
    (with "mem" (instance $mem))
    (with "host" (instance
      (export "call" (func $call-core))
      (export "progress" (func $progress-core))
      (export "changed" (func $changed-core))))))

  (type $error (record (field "code" s32) (field "message" string) (field "data" (option string))))
  (alias core export $core "list" (core func $list-core))
  (alias core export $core "tool" (core func $tool-core))
  (alias core export $core "done" (core func $done))
  (component $tools
    (type $record (record (field "code" s32) (field "message" string) (field "data" (option string))))
    (import "error" (type $error0 (eq $record)))
    (import "list" (func $list (result string)))
    (import "tool" (func $tool (param "name" string) (param "arguments" string) (result (result string (error $error0)))))
    (export $error1 "error" (type $error0))
    (export "list-tools" (func $list))
    (export "call-tool" (func $tool)
      (func (param "name" string) (param "arguments" string) (result (result string (error $error1))))))
  (func $list (result string) (canon lift (core func $list-core) (memory $m)))
  (func $tool (param "name" string) (param "arguments" string) (result (result string (error $error)))
    (canon lift (core func $tool-core) (memory $m) (realloc $realloc) (post-return $done)))
  (instance $exported-tools (instantiate $tools
    (with "error" (type $error)) (with "list" (func $list)) (with "tool" (func $tool))))
  (export "rune:guest/tools@0.1.0" (instance $exported-tools)))
