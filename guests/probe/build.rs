//! Links the guest where the boot protocol loads it.

fn main() {
    println!("cargo:rerun-if-changed=../rt/guest.ld");
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "none") {
        let root = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
        println!("cargo:rustc-link-arg-bins=-T{root}/../rt/guest.ld");
        // Its pointers are good where it is linked, and are listed for where else it may be: see rt's entry.s.
        for argument in ["-pie", "--no-dynamic-linker", "--apply-dynamic-relocs", "-znotext"] {
            println!("cargo:rustc-link-arg-bins={argument}");
        }
    }
}
