//! Links the board's image.

fn main() {
    let scripts = concat!(env!("CARGO_MANIFEST_DIR"), "/../../x86-port/image.ld");
    println!("cargo:rustc-link-arg=-T{scripts}");
    println!("cargo:rustc-link-arg=-Tdefmt.x");
    println!("cargo:rustc-link-arg=--no-pie");
    println!("cargo:rerun-if-changed={scripts}");
}
