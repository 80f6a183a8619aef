//! Links the board's image.

fn main() {
    let scripts = concat!(env!("CARGO_MANIFEST_DIR"), "/../../hyp/arm/image.ld");
    println!("cargo:rustc-link-arg=-T{scripts}");
    println!("cargo:rustc-link-arg=-Tdefmt.x");
    println!("cargo:rustc-link-arg=-n");
    println!("cargo:rustc-link-arg=--icf=all");
    println!("cargo:rerun-if-changed={scripts}");
}
