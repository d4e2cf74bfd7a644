;; A collector component that grows a table for ever: Rust has no word for it.
(component
  (core module $code
    (memory (export "memory") 1)
    (table $table 1 funcref)
    ;; Where memory is zero there is an `ok`.
    (func (export "ok") (result i32) (i32.const 1024))
    (func (export "grow") (result i32)
      (loop $again
        (br_if $again (i32.ne (table.grow $table (ref.null func) (i32.const 10000)) (i32.const -1))))
      (unreachable)))
  (core instance $code (instantiate $code))
  (alias core export $code "memory" (core memory $memory))

  (type $fault (record (field "code" u16) (field "reason" string) (field "cure" string)))
  (type $failure (variant
    (case "init-variables" $fault) (case "set-up" $fault) (case "pre-pull" $fault) (case "pull" $fault) (case "api" $fault)))
  (type $summary (record
    (field "requests" u32) (field "received" u64) (field "duplicates" u64) (field "sent" u64) (field "up-to-date" bool)))
  (type $check (func (result (result (error $failure)))))
  (type $pull (func (result (result $summary (error $failure)))))
  (func $ok (type $check) (canon lift (core func $code "ok") (memory $memory)))
  (func $grow (type $pull) (canon lift (core func $code "grow") (memory $memory)))

  ;; An interface's functions may only speak of types that it exports: this gives them their names.
  (component $named
    (type $fault' (record (field "code" u16) (field "reason" string) (field "cure" string)))
    (import "fault" (type $fault (eq $fault')))
    (type $failure' (variant
      (case "init-variables" $fault) (case "set-up" $fault) (case "pre-pull" $fault) (case "pull" $fault) (case "api" $fault)))
    (import "failure" (type $failure (eq $failure')))
    (type $summary' (record
      (field "requests" u32) (field "received" u64) (field "duplicates" u64) (field "sent" u64) (field "up-to-date" bool)))
    (import "summary" (type $summary (eq $summary')))
    (import "ok" (func $ok (result (result (error $failure)))))
    (import "grow" (func $grow (result (result $summary (error $failure)))))

    (export $fault-out "fault" (type $fault'))
    (type $failure-out' (variant
      (case "init-variables" $fault-out) (case "set-up" $fault-out) (case "pre-pull" $fault-out) (case "pull" $fault-out)
      (case "api" $fault-out)))
    (export $failure-out "failure" (type $failure-out'))
    (export $summary-out "summary" (type $summary'))
    (type $check (func (result (result (error $failure-out)))))
    (export "set-up" (func $ok) (func (type $check)))
    (export "pre-pull" (func $ok) (func (type $check)))
    (export "pull" (func $grow) (func (result (result $summary-out (error $failure-out))))))
  (instance $service (instantiate $named
    (with "fault" (type $fault)) (with "failure" (type $failure)) (with "summary" (type $summary))
    (with "ok" (func $ok)) (with "grow" (func $grow))))
  (export "devo:collector/service@1.0.0" (instance $service)))
