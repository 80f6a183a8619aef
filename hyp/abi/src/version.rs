//! What this hypervisor is: `xen_version`.
//!
//! Source: `public/version.h`. Arguments: operation, guest-virtual address of where the answer goes (none for
//! [`XENVER_VERSION`] and [`XENVER_PAGESIZE`], whose answer is the result).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Result: major version << 16 | minor version.
pub const XENVER_VERSION: u32 = 0;
/// The rest of the version, as text: [`EXTRAVERSION_LEN`] bytes.
pub const XENVER_EXTRAVERSION: u32 = 1;
/// Who compiled it with what: [`CompileInfo`].
pub const XENVER_COMPILE_INFO: u32 = 2;
/// Kinds of guests, as text: [`CAPABILITIES_LEN`] bytes.
pub const XENVER_CAPABILITIES: u32 = 3;
/// Source revision, as text: [`CHANGESET_LEN`] bytes.
pub const XENVER_CHANGESET: u32 = 4;
/// Start of the hypervisor's virtual addresses: [`PlatformParameters`].
pub const XENVER_PLATFORM_PARAMETERS: u32 = 5;
/// Feature bits: [`FeatureInfo`].
pub const XENVER_GET_FEATURES: u32 = 6;
/// Result: bytes in a page.
pub const XENVER_PAGESIZE: u32 = 7;
/// The domain's UUID: 16 bytes.
pub const XENVER_GUEST_HANDLE: u32 = 8;
/// The hypervisor's options, as text: [`COMMANDLINE_LEN`] bytes.
pub const XENVER_COMMANDLINE: u32 = 9;
/// The build id of the image.
pub const XENVER_BUILD_ID: u32 = 10;

/// Bytes of `xen_extraversion_t`, with the final zero.
pub const EXTRAVERSION_LEN: usize = 16;
/// Bytes of `xen_capabilities_info_t`, with the final zero.
pub const CAPABILITIES_LEN: usize = 1024;
/// Bytes of `xen_changeset_info_t`, with the final zero.
pub const CHANGESET_LEN: usize = 64;
/// Bytes of `xen_commandline_t`, with the final zero.
pub const COMMANDLINE_LEN: usize = 1024;

/// Argument of [`XENVER_COMPILE_INFO`] (`struct xen_compile_info`); texts end with a zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct CompileInfo {
    /// Name and version of the compiler.
    pub compiler: [u8; 64],
    /// Who compiled.
    pub compile_by: [u8; 16],
    /// Where.
    pub compile_domain: [u8; 32],
    /// When.
    pub compile_date: [u8; 32],
}

/// Argument of [`XENVER_PLATFORM_PARAMETERS`] (`struct xen_platform_parameters`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct PlatformParameters {
    /// Where the hypervisor's addresses begin; 0 for guests that never see them.
    pub virt_start: u64,
}

/// Argument of [`XENVER_GET_FEATURES`] (`struct xen_feature_info`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FeatureInfo {
    /// In: which word; only 0 exists.
    pub submap_idx: u32,
    /// Out: the bits, `1 << XENFEAT_*`.
    pub submap: u32,
}
