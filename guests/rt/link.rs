//! The build script of every guest: links it where the boot protocol loads it.

use std::env;

fn main() {
    let arm = env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "aarch64");
    let script = if arm { "guest.ld" } else { "guest-x86.ld" };
    println!("cargo:rerun-if-changed=../rt/{script}");
    // x86's only target with hard float is Linux', of which nothing is linked (ADR 0003).
    let bare = env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "none");
    if bare || env::var("CARGO_CFG_TARGET_ENV").is_ok_and(|env| env == "musl") {
        let root = env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
        println!("cargo:rustc-link-arg-bins=-T{root}/../rt/{script}");
    }
    if arm && bare {
        // Its pointers are good where it is linked, and are listed for where else it may be: see rt's entry.s.
        for argument in ["-pie", "--no-dynamic-linker", "--apply-dynamic-relocs", "-znotext"] {
            println!("cargo:rustc-link-arg-bins={argument}");
        }
    }
}
