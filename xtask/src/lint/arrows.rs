//! Dependencies point one way (DESIGN section 2): board, port, drivers, core, ABI. What runs at EL2 never links what
//! runs in guests, and guests never link the hypervisor; a cycle of concepts starts with one harmless `use`.

use super::Finding;
use crate::workspace::Package;

/// Where a crate stands. A crate may be linked with crates of its own side and a lower level, and with the ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    /// The wire types, which everybody may use.
    Abi,
    /// Runs at EL2, at this level.
    Hypervisor(u8),
    /// Runs in guests, at this level.
    Guest(u8),
    /// Runs on the host, never linked by the others.
    Host,
}

fn side(folder: &str) -> Option<Side> {
    Some(match folder.split_once('/') {
        Some(("hyp", "abi")) => Side::Abi,
        Some(("hyp", "core")) => Side::Hypervisor(1),
        Some(("hyp", "boot" | "dev" | "log")) => Side::Hypervisor(2),
        Some(("hyp", "arm")) => Side::Hypervisor(3),
        None if folder == "x86-port" => Side::Hypervisor(3),
        Some(("boards", "board")) => Side::Hypervisor(4),
        Some(("boards", _)) => Side::Hypervisor(5),
        Some(("hyp", "pvio")) => Side::Guest(1),
        Some(("guests", "rt")) => Side::Guest(2),
        Some(("guests", _)) => Side::Guest(3),
        Some(("tests", _)) => Side::Host,
        None if folder == "xtask" => Side::Host,
        _ => return None,
    })
}

fn may_link(from: Side, to: Side) -> bool {
    match (from, to) {
        (Side::Host, _) | (Side::Hypervisor(_) | Side::Guest(_), Side::Abi) => true,
        (Side::Hypervisor(from), Side::Hypervisor(to)) | (Side::Guest(from), Side::Guest(to)) => to < from,
        _ => false,
    }
}

/// Every arrow that points the wrong way, and every crate in a folder that the design does not know.
pub(super) fn check(packages: &[Package]) -> Vec<Finding> {
    let mut found = Vec::new();
    for package in packages {
        let Some(from) = side(&package.folder) else {
            found.push(format!("{}/Cargo.toml: the layout has no place for a crate here", package.folder));
            continue;
        };
        for name in &package.dependencies {
            let other = packages.iter().find(|other| other.name == *name);
            let to = other.and_then(|other| side(&other.folder));
            if to.is_some_and(|to| !may_link(from, to)) {
                found.push(format!("{}/Cargo.toml: {} must not depend on {name}", package.folder, package.name));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, folder: &str, dependencies: &[&str]) -> Package {
        let dependencies = dependencies.iter().map(|&name| name.to_owned()).collect();
        Package { name: name.into(), folder: folder.into(), dependencies }
    }

    fn tree(mut more: Vec<Package>) -> Vec<Package> {
        let mut packages = vec![
            package("xen-abi", "hyp/abi", &["bitflags"]),
            package("hyp-core", "hyp/core", &["xen-abi"]),
            package("hyp-dev", "hyp/dev", &["tock-registers"]),
            package("rt", "guests/rt", &["xen-abi"]),
        ];
        packages.append(&mut more);
        packages
    }

    #[test]
    fn the_designs_own_arrows_are_fine() {
        let more = vec![
            package("hyp-arm", "hyp/arm", &["hyp-core", "hyp-dev", "xen-abi"]),
            package("player", "guests/player", &["rt", "xen-abi"]),
            package("host-tests", "tests/host", &["hyp-core", "rt"]),
        ];
        assert_eq!(check(&tree(more)), Vec::<Finding>::new());
    }

    #[test]
    fn wrong_arrows_are_all_named() {
        let more = vec![
            package("hyp-boot", "hyp/boot", &["hyp-dev"]),
            package("hog", "guests/hog", &["hyp-core"]),
            package("hyp-arm", "hyp/arm", &["rt", "hyp-x86"]),
            package("hyp-x86", "x86-port", &[]),
        ];
        let found = check(&tree(more)).join("\n");
        for pair in ["hyp-boot must not depend on hyp-dev", "hog must not depend on hyp-core"] {
            assert!(found.contains(pair), "{found}");
        }
        assert!(found.contains("hyp-arm must not depend on rt"), "{found}");
        assert!(found.contains("hyp-arm must not depend on hyp-x86"), "{found}");
    }

    #[test]
    fn a_crate_without_a_place_is_named() {
        assert!(check(&[package("x", "misc/x", &[])])[0].contains("misc/x"));
    }
}
