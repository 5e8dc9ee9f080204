//! Header values of a leg, per segment as in semantics.md §3.1.

use crate::cast::{Cast, Side};
use crate::fixtures::{HOME_DOMAIN, Node};
use crate::notation::{Leg, Segment};
use crate::route::Routes;

/// The display name of `evil`: markup, an escaped quote, an escaped comma, a URL, a bidi override.
pub(crate) const HOSTILE_NAME: &str = "\"<b>总经理</b>\\\"\\, http://evil.test/ \u{202E}321\"";

/// `tel:` for a number, the URI itself for anything else.
pub(crate) fn tel_uri(cast: &dyn Cast, token: &str) -> String {
    let identity = cast.identity(token);
    if identity.starts_with('+') {
        format!("tel:{identity}")
    } else {
        identity.to_owned()
    }
}

/// `sip:…;user=phone` for a number, the URI itself for anything else.
pub(crate) fn sip_uri(cast: &dyn Cast, token: &str) -> String {
    let identity = cast.identity(token);
    if identity.starts_with('+') {
        format!("sip:{identity}@{HOME_DOMAIN};user=phone")
    } else {
        identity.to_owned()
    }
}

/// What a phone sends when its owner dials `token`: the extension within the office, trunk prefix 0 and
/// national number outside.
fn dialled_uri(cast: &dyn Cast, token: &str) -> String {
    let identity = cast.identity(token);
    let digits = match (
        cast.extension(identity),
        identity.strip_prefix("+86"),
        identity.strip_prefix('+'),
    ) {
        (Some(extension), ..) => extension.to_owned(),
        (None, Some(national), _) => format!("0{national}"),
        (None, None, Some(international)) => format!("00{international}"),
        (None, None, None) => return identity.to_owned(),
    };
    format!("sip:{digits}@{HOME_DOMAIN};user=phone")
}

fn named(name: &str, uri: &str) -> String {
    if name.is_empty() {
        format!("<{uri}>")
    } else {
        format!("\"{name}\" <{uri}>")
    }
}

/// The contact of a node; a phone's tells nothing of its number.
pub(crate) fn contact_uri(routes: &Routes<'_>, leg: usize, node: Node) -> String {
    let user = match node {
        Node::Ue { account, device } => format!("line{account}-{device}"),
        Node::Pcscf => "pcscf".to_owned(),
        Node::Core | Node::As => format!("b2b{:08x}", routes.hash(&["as", &routes.leg(leg).name]) as u32),
        Node::Mgcf => "mgw7".to_owned(),
    };
    let node = if node == Node::Core { Node::As } else { node };
    format!("sip:{user}@{}", node.address())
}

/// Contact header of the caller's side.
pub(crate) fn caller_contact(routes: &Routes<'_>, leg: usize) -> String {
    let root = routes.leg(routes.root(leg));
    if root.options.is_focus {
        let identity = routes.cast.identity(&root.caller);
        let user = identity
            .strip_prefix("sip:")
            .and_then(|rest| rest.split('@').next());
        return format!("<sip:{}@{}>;isfocus", user.unwrap_or("conf"), Node::As.address());
    }
    format!("<{}>", contact_uri(routes, leg, routes.origin(leg)))
}

/// From without its tag. The same on every segment: CSCFs do not touch it.
pub(crate) fn from(routes: &Routes<'_>, leg: usize) -> String {
    let root = routes.leg(routes.root(leg));
    if root.options.private {
        return "\"Anonymous\" <sip:anonymous@anonymous.invalid>".to_owned();
    }
    let identity = routes.cast.identity(&root.caller);
    let uri = match routes.origin(leg) {
        Node::Mgcf => format!("sip:{identity}@mgcf.{HOME_DOMAIN};user=phone"),
        Node::Ue { .. } => format!("sip:{identity}@{HOME_DOMAIN}"),
        _ => sip_uri(routes.cast, &root.caller),
    };
    if root.options.evil {
        return format!("{HOSTILE_NAME} <{uri}>");
    }
    named(routes.cast.calling_name(&root.caller), &uri)
}

/// To without its tag: the identity first dialled, as the first segment shows it.
pub(crate) fn to(routes: &Routes<'_>, leg: usize) -> String {
    let root_index = routes.root(leg);
    let root = routes.leg(root_index);
    let uri = match (&root.options.to, root.segments[0]) {
        (Some(token), _) => tel_uri(routes.cast, token),
        (None, Segment::Go | Segment::Mo) => typed_uri(routes, root_index),
        (None, Segment::Gi | Segment::Gj) => tel_uri(routes.cast, &root.callee),
        (None, Segment::Mt | Segment::Gt) => sip_uri(routes.cast, &root.callee),
    };
    format!("<{uri}>")
}

/// What the caller's phone sent. Whoever dials digit by digit (E07) dials the whole number.
fn typed_uri(routes: &Routes<'_>, leg: usize) -> String {
    let overlap = routes
        .case
        .steps
        .iter()
        .any(|step| step.leg == leg && step.request_uri.is_some());
    let callee = &routes.leg(leg).callee;
    if overlap {
        tel_uri(routes.cast, callee)
    } else {
        dialled_uri(routes.cast, callee)
    }
}

/// The Request-URI of the dialog-creating INVITE on a hop.
pub(crate) fn request_uri(routes: &Routes<'_>, leg_index: usize, hop: usize, given: Option<&str>) -> String {
    let leg = routes.leg(leg_index);
    if let Some(uri) = given.or(leg.options.request_uri.as_deref()) {
        return uri.to_owned();
    }
    match leg.segments[hop] {
        Segment::Go | Segment::Mo => typed_uri(routes, leg_index),
        Segment::Gi | Segment::Gj => tel_uri(routes.cast, &leg.callee),
        Segment::Mt | Segment::Gt => contact_uri(routes, leg_index, routes.phone(leg)),
    }
}

/// The identity headers of the dialog-creating INVITE on a hop, in order.
pub(crate) fn identity_headers(
    routes: &Routes<'_>,
    leg_index: usize,
    hop: usize,
) -> Vec<(&'static str, String)> {
    let leg = routes.leg(leg_index);
    let root = routes.leg(routes.root(leg_index));
    let segment = leg.segments[hop];
    let mut headers = Vec::new();
    let private = root.options.private;
    match segment {
        Segment::Go => headers.push((
            "P-Preferred-Identity",
            format!("<{}>", plain_sip(routes.cast, &root.caller)),
        )),
        Segment::Gt if private => {}
        _ => headers.extend(asserted(routes.cast, root).map(|value| ("P-Asserted-Identity", value))),
    }
    if private {
        headers.push(("Privacy", "id".to_owned()));
    }
    if matches!(segment, Segment::Mt | Segment::Gt) {
        headers.push((
            "P-Called-Party-ID",
            format!("<{}>", sip_uri(routes.cast, &leg.callee)),
        ));
    }
    if !matches!(segment, Segment::Go | Segment::Gt) {
        let made_at = if routes.origin(leg_index) == Node::Mgcf {
            Node::Mgcf
        } else {
            Node::Pcscf
        };
        let value = format!(
            "icid-value=\"{}\";icid-generated-at={};orig-ioi={HOME_DOMAIN}",
            routes.icid(leg_index),
            made_at.address().ip()
        );
        headers.push(("P-Charging-Vector", value));
    }
    if let Some((from, to, cause)) = &leg.options.history {
        let cause = cause.map_or_else(String::new, |cause| format!(";cause={cause}"));
        let value = format!(
            "<{}>;index=1, <{}{cause}>;index=1.1",
            sip_uri(routes.cast, from),
            sip_uri(routes.cast, to)
        );
        headers.push(("History-Info", value));
    }
    headers
}

/// P-Asserted-Identity of the caller: sip and tel for our own users, what ISUP had for others.
fn asserted(cast: &dyn Cast, root: &Leg) -> impl Iterator<Item = String> + use<> {
    let name = if root.options.evil {
        ""
    } else {
        cast.calling_name(&root.caller)
    };
    let own = cast.extension(cast.identity(&root.caller)).is_some();
    let tel = if own {
        format!("<{}>", tel_uri(cast, &root.caller))
    } else {
        named(name, &tel_uri(cast, &root.caller))
    };
    let sip = own.then(|| named(name, &plain_sip(cast, &root.caller)));
    sip.into_iter().chain([tel])
}

fn plain_sip(cast: &dyn Cast, token: &str) -> String {
    sip_uri(cast, token).trim_end_matches(";user=phone").to_owned()
}

/// The Replaces header: the dialog of another leg, whose To-tag is given; early unless `confirmed`.
pub(crate) fn replaces(routes: &Routes<'_>, replaced: usize, to_tag: &str, confirmed: bool) -> String {
    format!(
        "{};to-tag={to_tag};from-tag={}{}",
        routes.call_id(replaced),
        routes.caller_tag(replaced),
        if confirmed { "" } else { ";early-only" },
    )
}

/// The SDP of one side; each Call-ID has its own session and port.
pub(crate) fn sdp(routes: &Routes<'_>, leg: usize, side: Side, owner: Node) -> String {
    let name = &routes.leg(routes.root(leg)).name;
    let session = routes.hash(&["sdp", name, side.as_str()]);
    let media = routes.media(leg, side, owner, session);
    let (address, port) = (media.ip(), media.port());
    let head = format!(
        "v=0\r\no=- {} 1 IN IP4 {address}\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\n",
        session >> 32
    );
    if routes.leg(leg).options.msrp {
        return format!(
            "{head}m=message {port} TCP/MSRP *\r\na=accept-types:message/cpim text/plain\r\n\
             a=path:msrp://{address}:{port}/{:08x};tcp\r\na=sendrecv\r\n",
            session as u32
        );
    }
    format!(
        "{head}m=audio {port} RTP/AVP 8 0 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n\
         a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n"
    )
}
