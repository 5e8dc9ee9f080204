//! SIP text: start line, headers, body, with the right Content-Length.

use std::fmt::Write as _;

/// A message that is being written.
pub(crate) struct Text(String);

impl Text {
    pub(crate) fn request(method: &str, uri: &str) -> Self {
        Self(format!("{method} {uri} SIP/2.0\r\n"))
    }

    pub(crate) fn response(status: u16) -> Self {
        Self(format!("SIP/2.0 {status} {}\r\n", reason_phrase(status)))
    }

    pub(crate) fn header(&mut self, name: &str, value: &str) -> &mut Self {
        write!(self.0, "{name}: {value}\r\n").unwrap();
        self
    }

    pub(crate) fn headers<T: AsRef<str>>(
        &mut self,
        name: &str,
        values: impl IntoIterator<Item = T>,
    ) -> &mut Self {
        for value in values {
            self.header(name, value.as_ref());
        }
        self
    }

    /// Adds an `X-Pad` header that brings the message, without body, to about `bytes`.
    pub(crate) fn pad_to(&mut self, bytes: usize) -> &mut Self {
        let pad = "x".repeat(bytes.saturating_sub(self.0.len()));
        self.header("X-Pad", &pad)
    }

    /// The message without a body.
    pub(crate) fn bare(&mut self) -> Vec<u8> {
        self.header("Content-Length", "0");
        self.0.push_str("\r\n");
        std::mem::take(&mut self.0).into_bytes()
    }

    /// The message with a session description.
    pub(crate) fn with_sdp(&mut self, sdp: &str) -> Vec<u8> {
        self.with_body("application/sdp", sdp)
    }

    /// The message with a body of this type.
    pub(crate) fn with_body(&mut self, content_type: &str, body: &str) -> Vec<u8> {
        self.header("Content-Type", content_type)
            .header("Content-Length", &body.len().to_string());
        self.0.push_str("\r\n");
        self.0.push_str(body);
        std::mem::take(&mut self.0).into_bytes()
    }
}

fn reason_phrase(status: u16) -> &'static str {
    match status {
        100 => "Trying",
        180 => "Ringing",
        181 => "Call Is Being Forwarded",
        183 => "Session Progress",
        200 => "OK",
        202 => "Accepted",
        302 => "Moved Temporarily",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        484 => "Address Incomplete",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        491 => "Request Pending",
        500 => "Server Internal Error",
        503 => "Service Unavailable",
        600 => "Busy Everywhere",
        603 => "Decline",
        _ => "Other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches a Content-Length counted in characters, or a missing empty line.
    #[test]
    fn lengths_are_in_bytes() {
        let text =
            String::from_utf8(Text::response(200).header("Subject", "李").with_sdp("s=李\r\n")).unwrap();
        assert!(text.starts_with("SIP/2.0 200 OK\r\nSubject: 李\r\n"));
        assert!(text.ends_with("Content-Length: 7\r\n\r\ns=李\r\n"));
        let bare = Text::request("BYE", "sip:a@b").bare();
        assert_eq!(bare, b"BYE sip:a@b SIP/2.0\r\nContent-Length: 0\r\n\r\n");
    }
}
