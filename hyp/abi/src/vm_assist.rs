//! Small behaviours that a guest switches on: `vm_assist`.
//!
//! Source: `public/xen.h`. Arguments: command, type.

/// Switch it on.
pub const VMASST_CMD_ENABLE: u32 = 0;
/// Switch it off.
pub const VMASST_CMD_DISABLE: u32 = 1;
/// Mark a run-state record while it changes: [`crate::vcpu::XEN_RUNSTATE_UPDATE`].
pub const VMASST_TYPE_RUNSTATE_UPDATE_FLAG: u32 = 5;
