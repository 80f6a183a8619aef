//! Error numbers.
//!
//! Xen has its own list, equal to Linux's numbers in what it holds, so that the ABI does not depend on the guest's
//! libc. Source: `public/errno.h`.

macro_rules! errno {
    ($($(#[$doc:meta])* $name:ident = $value:literal,)*) => {
        /// Why a hypercall failed (`XEN_E*`).
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Errno {
            $($(#[$doc])* $name = $value,)*
        }

        impl Errno {
            /// Every error there is, by rising number.
            pub const ALL: &'static [Errno] = &[$(Errno::$name,)*];

            /// The error with this (positive) number.
            pub const fn from_number(number: u64) -> Option<Errno> {
                match number {
                    $($value => Some(Errno::$name),)*
                    _ => None,
                }
            }
        }
    };
}

errno! {
    /// Operation not permitted.
    EPERM = 1,
    /// No such thing.
    ENOENT = 2,
    /// No such domain.
    ESRCH = 3,
    /// Interrupted (inside the hypervisor only).
    EINTR = 4,
    /// Input or output failed.
    EIO = 5,
    /// No such device or address.
    ENXIO = 6,
    /// Too many or too long arguments.
    E2BIG = 7,
    /// Not an executable.
    ENOEXEC = 8,
    /// Bad handle.
    EBADF = 9,
    /// No children.
    ECHILD = 10,
    /// Try again.
    EAGAIN = 11,
    /// Out of memory.
    ENOMEM = 12,
    /// Permission denied.
    EACCES = 13,
    /// Bad address.
    EFAULT = 14,
    /// In use.
    EBUSY = 16,
    /// Exists already.
    EEXIST = 17,
    /// Crosses devices.
    EXDEV = 18,
    /// No such device.
    ENODEV = 19,
    /// Not a directory.
    ENOTDIR = 20,
    /// Is a directory.
    EISDIR = 21,
    /// Invalid argument.
    EINVAL = 22,
    /// Table of handles overflows.
    ENFILE = 23,
    /// Too many handles.
    EMFILE = 24,
    /// No space left.
    ENOSPC = 28,
    /// Read-only.
    EROFS = 30,
    /// Too many links.
    EMLINK = 31,
    /// Argument outside of the function's domain.
    EDOM = 33,
    /// Result cannot be represented.
    ERANGE = 34,
    /// Would deadlock.
    EDEADLK = 35,
    /// Name too long.
    ENAMETOOLONG = 36,
    /// No locks left.
    ENOLCK = 37,
    /// No such call.
    ENOSYS = 38,
    /// Not empty.
    ENOTEMPTY = 39,
    /// No data.
    ENODATA = 61,
    /// Timer ran out.
    ETIME = 62,
    /// Not a message.
    EBADMSG = 74,
    /// Value too large for its type.
    EOVERFLOW = 75,
    /// Illegal sequence of bytes.
    EILSEQ = 84,
    /// Make the call again (inside the hypervisor only).
    ERESTART = 85,
    /// Not a socket.
    ENOTSOCK = 88,
    /// Message too large.
    EMSGSIZE = 90,
    /// Operation not supported.
    EOPNOTSUPP = 95,
    /// Address in use.
    EADDRINUSE = 98,
    /// Address not available.
    EADDRNOTAVAIL = 99,
    /// No buffers left.
    ENOBUFS = 105,
    /// Connected already.
    EISCONN = 106,
    /// Not connected.
    ENOTCONN = 107,
    /// Timed out.
    ETIMEDOUT = 110,
    /// Connection refused.
    ECONNREFUSED = 111,
}

impl Errno {
    /// The (positive) number.
    pub const fn number(self) -> u64 {
        self as u64
    }

    /// What a failed hypercall leaves in the result register: the negated number.
    pub const fn to_result(self) -> u64 {
        self.number().wrapping_neg()
    }

    /// The error that a hypercall's result stands for; `None` for a success and for a number that is not in the list.
    pub const fn from_result(result: u64) -> Option<Errno> {
        Errno::from_number(result.wrapping_neg())
    }
}

#[cfg(test)]
mod tests {
    use super::Errno;

    #[test]
    fn results_come_back_as_they_went() {
        for errno in Errno::ALL {
            assert_eq!(Errno::from_result(errno.to_result()), Some(*errno));
        }
        assert_eq!(Errno::ENOSYS.to_result(), -38_i64 as u64);
        assert_eq!(Errno::from_result(0), None);
        assert_eq!(Errno::from_result(17), None);
    }
}
