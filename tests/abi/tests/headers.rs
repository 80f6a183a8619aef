//! The comparison itself.
#![allow(clippy::panic, reason = "a test fails by a panic")]

use abi_tests::{Claim, Guest, ask_headers, claims, headers, x86};

/// The claims that the headers deny, as lines to read.
fn denied(guest: Guest, claims: &[Claim], scratch: &str) -> Vec<String> {
    let directory = headers().unwrap_or_else(|message| panic!("{message}"));
    let scratch = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(scratch);
    std::fs::create_dir_all(&scratch).unwrap_or_else(|e| panic!("{}: {e}", scratch.display()));
    let answers = ask_headers(&directory, guest, claims, &scratch).unwrap_or_else(|message| panic!("{message}"));
    assert_eq!(answers.len(), claims.len());
    let pairs = claims.iter().zip(answers).filter(|(claim, answer)| claim.rust != *answer);
    pairs.map(|(claim, answer)| format!("{}: headers {answer}, xen-abi {}", claim.c, claim.rust)).collect()
}

#[test]
fn xen_abi_is_what_the_headers_say() {
    let denied = denied(Guest::Arm, &claims(), "all");
    assert!(denied.is_empty(), "xen-abi differs from the public headers:\n{}", denied.join("\n"));
}

#[test]
fn what_only_an_x86_guest_sees_is_what_the_headers_say() {
    let denied = denied(Guest::X86, &x86(), "x86");
    assert!(denied.is_empty(), "xen-abi differs from the public headers:\n{}", denied.join("\n"));
}

#[test]
fn a_wrong_number_is_found() {
    let wrong =
        [Claim { c: "sizeof(struct shared_info)".into(), rust: 1089 }, Claim { c: "VIRQ_DEBUG".into(), rust: 1 }];
    assert_eq!(denied(Guest::Arm, &wrong, "wrong"), ["sizeof(struct shared_info): headers 1088, xen-abi 1089"]);
}

#[test]
fn every_item_is_compared() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &std::path::Path| std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{path:?}: {e}"));
    let table = ["src/table.rs", "src/devices.rs"].map(|name| read(&root.join(name))).concat();
    let folder = |name| std::fs::read_dir(root.join(name)).unwrap_or_else(|e| panic!("xen-abi: {e}"));
    let sources = folder("../../hyp/abi/src").chain(folder("../../hyp/abi/src/io")).flatten();
    let mut missing = Vec::new();
    // The errors are compared by their names; the I/O domain is no part of Xen's headers.
    let ours = |path: &std::path::PathBuf| path.ends_with("errno.rs") || path.ends_with("io_domain.rs");
    for source in sources.map(|entry| entry.path()).filter(|path| path.is_file() && !ours(path)) {
        let module = source.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let inside = source.parent().is_some_and(|folder| folder.ends_with("io"));
        let module = if inside { format!("io::{module}") } else { module };
        for line in read(&source).lines() {
            let item = line.strip_prefix("pub const ").or_else(|| line.strip_prefix("pub struct "));
            let Some(name) = item.and_then(|rest| rest.split([':', ' ']).next()).filter(|name| *name != "fn") else {
                continue;
            };
            if !table.contains(&format!("{module}::{name} ")) {
                missing.push(format!("{module}::{name}"));
            }
        }
    }
    assert!(missing.is_empty(), "not in tests/abi/src: {}", missing.join(", "));
}
