//! What an heir shows to prove that it may capture: a packet socket, which the kernel gives only to who has CAP_NET_RAW (packet(7)), and
//! which can be passed on.
//!
//! User and group prove nothing: other programs may run as the engine's user, and none of these may stop the capture. The socket hears
//! nothing, for it has no protocol.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with, sockopt};

/// Makes one. To be done before privileges are dropped.
pub(super) fn licence() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(socket_with(AddressFamily::PACKET, SocketType::RAW, flags, None)?)
}

/// Whether what was shown is one, of the network that `own`, any socket, was made in: in a network of its own anybody may have every
/// capability.
///
/// # Errors
/// If it is a packet socket, and Linux does not tell of which network: before 5.14 (`ENOPROTOOPT`).
pub(super) fn is_licence(shown: impl AsFd, own: impl AsFd) -> io::Result<bool> {
    let namespace = |socket: &dyn AsFd| ringtap_xsk::network_namespace(socket.as_fd());
    // What is no socket has no domain.
    Ok(sockopt::socket_domain(&shown) == Ok(AddressFamily::PACKET) && namespace(&shown)? == namespace(&own)?)
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::unix::net::UnixDatagram;

    use super::*;

    /// Catches a socket that anybody can make, or what is none, taken for a licence; and, where one can be made, one that is refused.
    #[test]
    fn what_anybody_has_is_no_licence() {
        let own = UnixDatagram::unbound().unwrap();
        assert!(!is_licence(UdpSocket::bind("127.0.0.1:0").unwrap(), &own).unwrap());
        assert!(!is_licence(&own, &own).unwrap());
        assert!(!is_licence(tempfile::tempfile().unwrap(), &own).unwrap());
        if let Ok(licence) = licence() {
            assert!(is_licence(licence, &own).unwrap());
        }
    }
}
