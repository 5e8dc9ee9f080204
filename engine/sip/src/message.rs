//! A parsed message: spans into its frame, and what can be asked of them.

use std::fmt;

use crate::header::Header;
use crate::lex::CommaList;
use crate::lines::Lines;
use crate::method::Method;
use crate::span::Span;
use crate::via::Via;

/// The start line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start<'a> {
    /// A Request-Line.
    Request {
        /// The method.
        method: Method,
        /// The Request-URI as it stands there; [`uri`](crate::uri::uri) reads it.
        uri: &'a [u8],
    },
    /// A Status-Line.
    Response {
        /// 100 to 699.
        status: u16,
        /// The reason phrase.
        reason: &'a [u8],
    },
}

/// What the Content-Length fields say (semantics.md §6; RFC 3261 §18.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentLength {
    /// There is none: a datagram's body is the rest of it, a stream's is empty.
    Absent,
    /// The one number they all give. What does not fit `u32` is given as its largest value.
    Octets(u32),
    /// They differ, or one is no number: a stream has lost its framing here.
    Ambiguous,
}

impl ContentLength {
    /// What this field and those before it say together: several equal ones are one, different ones are none (semantics.md §6).
    pub(crate) fn and(self, before: Option<Self>) -> Self {
        match before {
            Some(before) if before != self => Self::Ambiguous,
            _ => self,
        }
    }
}

/// The start line in spans.
#[derive(Clone, Copy, Debug)]
pub(crate) enum StartSpan {
    Request { method: Method, uri: Span },
    Response { status: u16, reason: Span },
}

/// A SIP message whose start line, Call-ID, CSeq, From, To and top Via are known to be there and unambiguous.
/// Borrows the frame; nothing of it was copied.
#[derive(Clone)]
pub struct Message<'a> {
    /// The message without the line ends before it.
    pub(crate) frame: &'a [u8],
    pub(crate) start: StartSpan,
    pub(crate) call_id: Span,
    pub(crate) from: Span,
    pub(crate) to: Span,
    /// Empty if there is none, as are the To tag and the branch.
    pub(crate) from_tag: Span,
    pub(crate) to_tag: Span,
    pub(crate) cseq: u32,
    pub(crate) method: Method,
    pub(crate) method_token: Span,
    pub(crate) via_value: Span,
    pub(crate) via_sent_by: Span,
    pub(crate) via_branch: Span,
    pub(crate) content_length: ContentLength,
    pub(crate) body: Span,
    pub(crate) body_truncated: bool,
    pub(crate) truncated: bool,
    pub(crate) lines: Lines,
}

impl<'a> Message<'a> {
    /// The start line.
    #[must_use]
    pub fn start(&self) -> Start<'a> {
        match self.start {
            StartSpan::Request { method, uri } => Start::Request {
                method,
                uri: uri.of(self.frame),
            },
            StartSpan::Response { status, reason } => Start::Response {
                status,
                reason: reason.of(self.frame),
            },
        }
    }

    /// Whether it is a request.
    #[must_use]
    pub const fn is_request(&self) -> bool {
        matches!(self.start, StartSpan::Request { .. })
    }

    /// The method of the CSeq: for a request its own, for a response that of the request it answers.
    #[must_use]
    pub const fn method(&self) -> Method {
        self.method
    }

    /// The CSeq's method as it stands there, for those that are [`Method::Other`].
    #[must_use]
    pub fn method_token(&self) -> &'a [u8] {
        self.method_token.of(self.frame)
    }

    /// The status code, 100 to 699, of a response.
    #[must_use]
    pub const fn status(&self) -> Option<u16> {
        match self.start {
            StartSpan::Response { status, .. } => Some(status),
            StartSpan::Request { .. } => None,
        }
    }

    /// The Request-URI of a request.
    #[must_use]
    pub fn request_uri(&self) -> Option<&'a [u8]> {
        match self.start {
            StartSpan::Request { uri, .. } => Some(uri.of(self.frame)),
            StartSpan::Response { .. } => None,
        }
    }

    /// The Call-ID, never empty. Compared octet by octet (RFC 3261 §8.1.1.4).
    #[must_use]
    pub fn call_id(&self) -> &'a [u8] {
        self.call_id.of(self.frame)
    }

    /// The CSeq's number.
    #[must_use]
    pub const fn cseq(&self) -> u32 {
        self.cseq
    }

    /// The From tag; `None` if there is none or it is empty (RFC 2543).
    #[must_use]
    pub fn from_tag(&self) -> Option<&'a [u8]> {
        self.from_tag.some_of(self.frame)
    }

    /// The To tag; `None` if there is none or it is empty.
    #[must_use]
    pub fn to_tag(&self) -> Option<&'a [u8]> {
        self.to_tag.some_of(self.frame)
    }

    /// The From value; [`name_addr`](crate::addr::name_addr) reads it.
    #[must_use]
    pub fn from(&self) -> &'a [u8] {
        self.from.of(self.frame)
    }

    /// The To value; [`name_addr`](crate::addr::name_addr) reads it.
    #[must_use]
    pub fn to(&self) -> &'a [u8] {
        self.to.of(self.frame)
    }

    /// The topmost Via value.
    #[must_use]
    pub fn top_via(&self) -> Via<'a> {
        Via {
            sent_by: self.via_sent_by.of(self.frame),
            branch: self.via_branch.some_of(self.frame),
            value: self.via_value.of(self.frame),
        }
    }

    /// The Via values in order, over all lines and comma lists. A value that is none (RFC 4475 §3.1.2.1) is
    /// passed over.
    pub fn vias(&self) -> impl Iterator<Item = Via<'a>> {
        self.values(Header::Via).filter_map(Via::of)
    }

    /// The Via values below the topmost, which is the first and is one.
    pub fn vias_below(&self) -> impl Iterator<Item = Via<'a>> {
        self.values(Header::Via).skip(1).filter_map(Via::of)
    }

    /// The value of the first field of that name, trimmed, not split. It may hold folds.
    #[must_use]
    pub fn header(&self, name: Header) -> Option<&'a [u8]> {
        self.lines(name).next()
    }

    /// The values of all fields of that name, comma lists split outside quotes and `<>`, trimmed, empty ones
    /// left out.
    pub fn values(&self, name: Header) -> impl Iterator<Item = &'a [u8]> {
        self.lines(name).flat_map(CommaList::new)
    }

    /// The values of all fields of that name, trimmed, not split (Privacy, Subject, ...).
    pub fn lines(&self, name: Header) -> impl Iterator<Item = &'a [u8]> {
        let mut named = self.lines.named(name);
        std::iter::from_fn(move || named.next_in(self.frame))
    }

    /// The header fields of interest in order: name and value.
    pub fn headers(&self) -> impl Iterator<Item = (Header, &'a [u8])> {
        self.lines.all(self.frame)
    }

    /// The trimmed value of the first header field of this name, in any case, for names that are no
    /// [`Header`]. A fold is not followed. Costs a walk over the header lines.
    #[must_use]
    pub fn field(&self, name: &[u8]) -> Option<&'a [u8]> {
        self.frame
            .split(|byte| *byte == b'\n')
            .take_while(|line| !line.trim_ascii().is_empty())
            .skip(1)
            .find_map(|line| {
                let colon = memchr::memchr(b':', line)?;
                let (head, value) = (line.get(..colon)?, line.get(colon + 1..)?);
                head.trim_ascii()
                    .eq_ignore_ascii_case(name)
                    .then(|| value.trim_ascii())
            })
    }

    /// What the Content-Length fields say.
    #[must_use]
    pub const fn content_length(&self) -> ContentLength {
        self.content_length
    }

    /// All of it, without the line ends before it: read again, it gives this message.
    #[must_use]
    pub const fn text(&self) -> &'a [u8] {
        self.frame
    }

    /// The body: Content-Length octets, or the rest of the datagram if there is none (RFC 3261 §18.3). Empty
    /// if the length is ambiguous or larger than what there is. What follows the body is ignored, a second
    /// message too.
    #[must_use]
    pub fn body(&self) -> &'a [u8] {
        self.body.of(self.frame)
    }

    /// Whether a body was announced that is not wholly in the frame.
    #[must_use]
    pub const fn body_truncated(&self) -> bool {
        self.body_truncated
    }

    /// Whether the frame ends before the empty line behind the headers: fields may be missing.
    #[must_use]
    pub const fn truncated(&self) -> bool {
        self.truncated
    }
}

impl fmt::Debug for Message<'_> {
    /// What identifies the message, as text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Message");
        match self.start() {
            Start::Request { uri, .. } => {
                shown.field("request_uri", &format_args!("{}", uri.escape_ascii()));
            }
            Start::Response { status, .. } => {
                shown.field("status", &status);
            }
        }
        shown
            .field(
                "cseq",
                &format_args!("{} {}", self.cseq, self.method_token().escape_ascii()),
            )
            .field("call_id", &format_args!("{}", self.call_id().escape_ascii()))
            .field("headers", &self.headers().count())
            .field("body_bytes", &self.body().len())
            .finish_non_exhaustive()
    }
}
