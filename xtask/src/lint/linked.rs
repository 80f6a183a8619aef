//! Nothing of paravirtual devices runs at EL2 (DESIGN section 2). The dependency arrows say so of the crates as they are
//! written down; this asks cargo what it would link into each image, with the features of just that build, so that
//! neither a crate in between nor a feature can bring a back end there.

use anyhow::{Result, bail};

use super::Finding;
use crate::process;
use crate::workspace::{self, Package};

/// What no image may have, as `cargo tree` prints it, and what that is.
const FORBIDDEN: [(&str, &str); 2] =
    [("hyp-pvio v", "the paravirtual devices"), ("xen-abi feature \"io\"", "the layouts of their rings")];

/// Every image that has something of them.
///
/// # Errors
/// Cargo cannot tell, or told nothing.
pub(super) fn check(packages: &[Package]) -> Result<Vec<Finding>> {
    let mut found = Vec::new();
    let images = workspace::images(packages);
    if images.is_empty() {
        bail!("there is no image of the hypervisor to look at");
    }
    for (package, target) in images {
        let mut cargo = process::cargo();
        cargo.args(["tree", "--locked", "--package", &package.name, "--target", target]);
        cargo.args(["--edges", "normal,build,features", "--prefix", "none"]);
        let tree = String::from_utf8_lossy(&process::quiet(&mut cargo)?.stdout).into_owned();
        if !tree.lines().any(|line| line.starts_with("xen-abi v")) {
            bail!("`{}` does not name xen-abi, which every image has", process::shown(&cargo));
        }
        let here = forbidden(&tree).map(|what| format!("{}/Cargo.toml: the image has {what}", package.folder));
        found.extend(here);
    }
    Ok(found)
}

/// What of [`FORBIDDEN`] stands in a tree.
fn forbidden(tree: &str) -> impl Iterator<Item = &'static str> {
    let found = FORBIDDEN.iter().filter(move |(line, _)| tree.lines().any(|other| other.starts_with(line)));
    found.map(|(_, what)| *what)
}

#[cfg(test)]
mod tests {
    use super::forbidden;

    #[test]
    fn crates_and_features_are_told_from_others() {
        assert_eq!(forbidden("xen-abi v0.1.0 (x)\nhyp-core v0.1.0\nxen-abi feature \"default\"\n").count(), 0);
        let tree = "qemu-virt v0.1.0\nhyp-pvio feature \"default\"\nhyp-pvio v0.1.0 (x)\nxen-abi feature \"io\"\n";
        assert_eq!(forbidden(tree).count(), 2);
    }
}
