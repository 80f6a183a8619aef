//! `grant_table_op`: so far what a guest asks before it uses its table (`public/grant_table.h`). The entries are of
//! version 1, and no other domain maps them.

use xen_abi::errno::Errno;
use xen_abi::grant_table::{
    GNTST_BAD_DOMAIN, GNTST_OKAY, GNTTABOP_GET_VERSION, GNTTABOP_QUERY_SIZE, GNTTABOP_SET_VERSION, GetVersion,
    QuerySize, Version,
};

use super::{Answer, Call, DONE};
use crate::arch::Arch;
use crate::limits::GRANT_FRAMES;
use crate::policy::Decision;

/// The only layout of entries there is.
const VERSION: u32 = 1;

pub(super) fn handle<A: Arch>(call: &mut Call<'_, '_, A>, _: Decision) -> Result<Answer, Errno> {
    let [operation, at, count, ..] = call.args;
    match operation as u32 {
        // These take one structure.
        GNTTABOP_QUERY_SIZE | GNTTABOP_SET_VERSION if count != 1 => Err(Errno::EINVAL),
        GNTTABOP_QUERY_SIZE => {
            let mut op: QuerySize = call.read(at)?;
            op.status = if call.only_me(op.dom).is_ok() { GNTST_OKAY } else { GNTST_BAD_DOMAIN };
            if op.status == GNTST_OKAY {
                (op.nr_frames, op.max_nr_frames) = (GRANT_FRAMES as u32, GRANT_FRAMES as u32);
            }
            call.write(at, &op)?;
            DONE
        }
        GNTTABOP_SET_VERSION => {
            let op: Version = call.read(at)?;
            call.write(at, &Version { version: VERSION })?;
            match op.version {
                VERSION => DONE,
                // Linux asks for it first, and stays at 1.
                2 => Err(Errno::ENOSYS),
                _ => Err(Errno::EINVAL),
            }
        }
        GNTTABOP_GET_VERSION => {
            let mut op: GetVersion = call.read(at)?;
            call.only_me(op.dom)?;
            op.version = VERSION;
            call.write(at, &op)?;
            DONE
        }
        _ => Err(Errno::ENOSYS),
    }
}
