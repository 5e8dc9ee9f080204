//! What can be wrong with a capture file.

use std::io;

/// Why a capture file cannot be read, or not any further. Each names the file.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// There is no such file.
    #[error("{file}: no such file")]
    Missing {
        /// The file.
        file: String,
    },
    /// The file may not be read.
    #[error("{file}: permission denied: run as a user who may read it, or change its mode")]
    Permission {
        /// The file.
        file: String,
    },
    /// It is a directory.
    #[error("{file}: is a directory: name the capture files in it")]
    Directory {
        /// The directory.
        file: String,
    },
    /// Standard input was asked for, and it is a terminal.
    #[error("standard input is a terminal: redirect a capture into it")]
    Terminal,
    /// It cannot be opened for another reason.
    #[error("{file}: cannot be opened: {source}")]
    Open {
        /// The file.
        file: String,
        /// What the system says.
        source: io::Error,
    },
    /// It holds nothing.
    #[error("{file}: empty file, not a capture")]
    Empty {
        /// The file.
        file: String,
    },
    /// It ends within its header.
    #[error("{file}: ends within its header, no packets can be read")]
    CutHeader {
        /// The file.
        file: String,
    },
    /// It is neither pcap nor pcapng.
    #[error("{file}: not a capture file (neither pcap nor pcapng)")]
    NotACapture {
        /// The file.
        file: String,
    },
    /// It is compressed.
    #[error("{file}: compressed with {compression}: decompress it first, or pipe it into `ringtap replay -`")]
    Compressed {
        /// The file.
        file: String,
        /// With what.
        compression: &'static str,
    },
    /// Something in it makes no sense. Everything before it has been read.
    #[error("{file}: damaged at offset {offset}: {damage}")]
    Damaged {
        /// The file.
        file: String,
        /// Offset of the packet or block at fault, in bytes from the file's begin.
        offset: u64,
        /// What makes no sense.
        damage: Damage,
    },
    /// The system could not read on.
    #[error("{file}: reading failed at offset {offset}: {source}")]
    Read {
        /// The file.
        file: String,
        /// How far reading came, in bytes from the file's begin.
        offset: u64,
        /// What the system says.
        source: io::Error,
    },
}

/// What makes no sense in a capture file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// A packet is longer than [`super::PACKET_BYTES_MAX`].
    #[error(
        "packet claims {claimed} bytes, more than the {} that any capture has",
        super::PACKET_BYTES_MAX
    )]
    PacketTooLong {
        /// Bytes that it claims to have.
        claimed: u64,
    },
    /// A pcapng block is longer than its kind may be.
    #[error("block claims {claimed} bytes")]
    BlockTooLong {
        /// Bytes that it claims to have.
        claimed: u64,
    },
    /// A pcapng block's two length fields disagree, or the length is no multiple of 4 or less than the
    /// smallest block.
    #[error("block has an impossible length")]
    BlockLength,
    /// A pcapng section header, interface description or packet block that cannot be read.
    #[error("block cannot be read")]
    BlockContent,
    /// A pcapng packet of an interface that was not described before.
    #[error("packet of interface {interface}, which the file does not describe")]
    UnknownInterface {
        /// The number it gives.
        interface: u32,
    },
    /// More pcapng interfaces than [`super::INTERFACES_MAX`].
    #[error("more than {} interfaces in one section", super::INTERFACES_MAX)]
    TooManyInterfaces,
}

/// The error for a file that could not be opened.
pub(super) fn open_error(file: &str, source: io::Error) -> CaptureError {
    let file = file.to_owned();
    match source.kind() {
        io::ErrorKind::NotFound => CaptureError::Missing { file },
        io::ErrorKind::PermissionDenied => CaptureError::Permission { file },
        io::ErrorKind::IsADirectory => CaptureError::Directory { file },
        _ => CaptureError::Open { file, source },
    }
}
