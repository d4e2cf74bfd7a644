//! The part of the world `collector` that this program implements itself; wasi:http,
//! wasi:clocks and wasi:io are those of the wasmtime project.

wasmtime::component::bindgen!({
    path: "../wit",
    inline: "
        package devo:host;

        world implemented {
            import wasi:keyvalue/store@0.2.0-draft;
            import wasi:config/store@0.2.0-rc.1;
            import wasi:logging/logging@0.1.0-draft;
            import devo:collector/output@2.0.0;
            export devo:collector/service@2.0.0;
        }
    ",
    world: "devo:host/implemented",
    imports: {
        "devo:collector/output": async | trappable,
        "wasi:keyvalue/store": async | trappable,
        default: trappable,
    },
    exports: { default: async },
    with: {
        "wasi:clocks": wasmtime_wasi::p2::bindings::clocks,
        "wasi:keyvalue/store.bucket": crate::capabilities::keyvalue::OpenBucket,
    },
    require_store_data_send: true,
});
