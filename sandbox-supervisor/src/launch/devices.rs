//! Loop and network devices: the calls that take structures.

use std::ffi::c_int;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, RawFd};

use super::system::{check, owned};

const LOOP_CONFIGURE: libc::c_ulong = 0x4C0A;
const LOOP_CTL_GET_FREE: libc::c_ulong = 0x4C82;

/// The device lets go of its file when it is closed for the last time.
const LO_FLAGS_AUTOCLEAR: u32 = 4;

/// `struct loop_config` with its `struct loop_info64`, of which only the flags are set.
#[repr(C)]
struct LoopConfig {
    file: u32,
    block_size: u32,
    before_flags: [u8; 52],
    flags: u32,
    after_flags: [u8; 176],
    reserved: [u64; 8],
}

const _: () = assert!(size_of::<LoopConfig>() == 304);

/// Returns the number of a loop device that nobody uses at the moment.
pub(crate) fn free_loop_device(control: BorrowedFd<'_>) -> io::Result<c_int> {
    // SAFETY: this request takes no argument.
    let number = check(libc::c_long::from(unsafe {
        libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE)
    }))?;
    c_int::try_from(number).map_err(io::Error::other)
}

/// Puts a file behind a loop device, as long as the device is in use.
pub(crate) fn configure_loop_device(device: BorrowedFd<'_>, image: RawFd) -> io::Result<()> {
    let config = LoopConfig {
        file: u32::try_from(image).map_err(io::Error::other)?,
        block_size: 0,
        before_flags: [0; 52],
        flags: LO_FLAGS_AUTOCLEAR,
        after_flags: [0; 176],
        reserved: [0; 8],
    };
    // SAFETY: the structure is live and has the size that this request reads, as asserted above.
    let result = unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CONFIGURE, &raw const config) };
    check(libc::c_long::from(result)).map(drop)
}

/// Brings the loopback interface up.
pub(crate) fn bring_loopback_up() -> io::Result<()> {
    // SAFETY: takes numbers only.
    let socket = owned(libc::c_long::from(unsafe {
        libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0)
    }))?;
    // SAFETY: an all-zero request is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (place, byte) in request.ifr_name.iter_mut().zip(*b"lo") {
        *place = byte.cast_signed();
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: the request is live and has the name and the flags that this call reads.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    check(libc::c_long::from(result)).map(drop)
}
