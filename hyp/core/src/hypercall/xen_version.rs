//! `xen_version`: what this hypervisor is (`public/version.h`).
//!
//! Guests decide by these answers what they may use, so we say 4.17, whose ABI we follow, and nothing about the machine.

use xen_abi::errno::Errno;
use xen_abi::version::{
    CAPABILITIES_LEN, CHANGESET_LEN, CompileInfo, EXTRAVERSION_LEN, FeatureInfo, PlatformParameters, XENVER_BUILD_ID,
    XENVER_CAPABILITIES, XENVER_CHANGESET, XENVER_COMMANDLINE, XENVER_COMPILE_INFO, XENVER_EXTRAVERSION,
    XENVER_GET_FEATURES, XENVER_GUEST_HANDLE, XENVER_PAGESIZE, XENVER_PLATFORM_PARAMETERS, XENVER_VERSION,
};

use super::{Answer, Call, DONE};
use crate::arch::Arch;
use crate::policy::Decision;

/// Major number in the upper half, minor in the lower.
const VERSION: u64 = 4 << 16 | 17;
const EXTRAVERSION: &str = "-makuhari";
const PAGE_SIZE: u64 = 4096;

/// A text in a field of `N` bytes, filled up with zeros, the last of which stays.
fn text<const N: usize>(text: &str) -> [u8; N] {
    let mut field = [0; N];
    field.iter_mut().take(N.saturating_sub(1)).zip(text.bytes()).for_each(|(to, from)| *to = from);
    field
}

#[inline]
pub(super) fn handle<A: Arch>(call: &mut Call<'_, '_, A>, _: Decision) -> Result<Answer, Errno> {
    match call.operation() {
        XENVER_VERSION => Ok(Answer::Value(VERSION)),
        XENVER_PAGESIZE => Ok(Answer::Value(PAGE_SIZE)),
        _ => describe(call),
    }
}

#[inline(never)]
fn describe<A: Arch>(call: &Call<'_, '_, A>) -> Result<Answer, Errno> {
    let to = call.args[1];
    match call.operation() {
        XENVER_EXTRAVERSION => call.write(to, &text::<EXTRAVERSION_LEN>(EXTRAVERSION))?,
        XENVER_COMPILE_INFO => {
            let compiler = text("rustc");
            call.write(
                to,
                &CompileInfo { compiler, compile_by: [0; 16], compile_domain: [0; 32], compile_date: [0; 32] },
            )?;
        }
        XENVER_CAPABILITIES => call.write(to, &text::<CAPABILITIES_LEN>(A::CAPABILITIES))?,
        XENVER_CHANGESET => call.write(to, &text::<CHANGESET_LEN>("unavailable"))?,
        XENVER_PLATFORM_PARAMETERS => call.write(to, &PlatformParameters { virt_start: 0 })?,
        XENVER_GET_FEATURES => {
            let mut info: FeatureInfo = call.read(to)?;
            if info.submap_idx != 0 {
                return Err(Errno::EINVAL);
            }
            info.submap = A::FEATURES;
            call.write(to, &info)?;
        }
        // All zeros: the domain was not given a handle by a toolstack.
        XENVER_GUEST_HANDLE => call.write(to, &[0u8; 16])?,
        // It is the machine's business, and Xen says so in the same word.
        XENVER_COMMANDLINE => call.write(to, b"<denied>\0")?,
        XENVER_BUILD_ID => return Err(Errno::ENODATA),
        _ => return Err(Errno::ENOSYS),
    }
    DONE
}
