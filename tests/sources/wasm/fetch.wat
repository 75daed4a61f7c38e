;; A function that hands what it is given to the host to fetch, and the answer back.
(component
  (import "rune:guest/types@0.1.0" (instance $types
    (type $e (record (field "code" s32) (field "message" string) (field "data" (option string))))
    (export "error" (type (eq $e)))))
  (alias export $types "error" (type $error))
  (import "rune:guest/http@0.1.0" (instance $http
    (alias outer 1 $error (type $outer))
    (export "error" (type $inner (eq $outer)))
    (export "fetch" (func (param "request" string) (result (result string (error $inner)))))))
  (core module $memory
    (memory (export "memory") 4)
    (global $at (mut i32) (i32.const 4096))
    (func (export "realloc") (param i32 i32 i32) (param $new i32) (result i32)
      (local $found i32)
      (local.set $found (i32.and (i32.add (global.get $at) (i32.const 15)) (i32.const -16)))
      (global.set $at (i32.add (local.get $found) (local.get $new)))
      (local.get $found)))
  (core instance $mem (instantiate $memory))
  (alias core export $mem "memory" (core memory $m))
  (alias core export $mem "realloc" (core func $realloc))
  (alias export $http "fetch" (func $fetch))
  (core func $fetch-core (canon lower (func $fetch) (memory $m) (realloc $realloc)))
  (core module $code
    (import "host" "fetch" (func $fetch (param i32 i32 i32)))
    (func (export "fetch") (param i32 i32) (result i32)
      (call $fetch (local.get 0) (local.get 1) (i32.const 64))
      (i32.const 64)))
  (core instance $core (instantiate $code (with "host" (instance (export "fetch" (func $fetch-core))))))
  (func (export "fetch") (param "request" string) (result (result string (error $error)))
    (canon lift (core func $core "fetch") (memory $m) (realloc $realloc))))
