//! An interface, as its driver tells of it.

use ringtap_xsk::{Feature, Interface, Link, Spread};

use super::Finding;

/// What merges frames before the program sees them, or before the stack does: the kernel's names, and ethtool's where they differ.
pub(super) const MERGING: [(&str, &str); 4] = [
    ("rx-lro", "lro"),
    ("rx-gro-hw", "rx-gro-hw"),
    ("rx-gro", "gro"),
    ("rx-gro-list", "rx-gro-list"),
];

/// Everything but what is tried. `cores` is the number of readers; 0 if none was named.
pub(super) fn all(interface: &Interface, cores: usize) -> Vec<Finding> {
    let name = interface.name();
    let mut findings = vec![
        driver(interface),
        link(name, interface.link().ok()),
        host_use(interface.is_used_by_host()),
        queues(name, interface.queues(), interface.queues_max(), cores),
        spread(name, &interface.spread(), interface.queues().unwrap_or(1)),
        rings(interface),
        promiscuous(interface),
    ];
    findings.push(match interface.features() {
        Ok(features) => offloads(name, &features),
        Err(error) => Finding::unknown("offloads", error.to_string()),
    });
    findings.into_iter().map(|finding| finding.of(name)).collect()
}

fn driver(interface: &Interface) -> Finding {
    match interface.driver() {
        Some(driver) => Finding::ok("driver", driver),
        None => Finding::unknown("driver", "the interface does not tell"),
    }
}

fn link(name: &str, link: Option<Link>) -> Finding {
    match link {
        Some(Link::Running) => Finding::ok("link", "up"),
        Some(Link::NoCarrier) => Finding::warn("link", "no carrier")
            .means("nothing comes until something is at the other end")
            .mend("cable, transceiver, and the switch's mirror session"),
        Some(Link::Down) => Finding::fail("link", "down")
            .means("nothing comes until it is up")
            .mend(format!("ip link set {name} up")),
        Some(Link::Gone) => Finding::fail("link", "gone").mend("ip link"),
        None => Finding::unknown("link", "the system does not tell"),
    }
}

fn host_use(is_used: bool) -> Finding {
    if is_used {
        return Finding::warn("host_use", "the host itself speaks over it")
            .means("SIP, fragments and tunnels are taken away from the host, and --dedicated is refused")
            .mend("a mirror wants an interface of its own: another --interface".to_owned());
    }
    Finding::ok(
        "host_use",
        "it has no address of its own, and carries no other interface",
    )
}

fn queues(name: &str, queues: Option<u32>, queues_max: Option<u32>, cores: usize) -> Finding {
    let Some(queues) = queues else {
        return Finding::ok("queues", "one; the driver tells of no others");
    };
    let saw = match queues_max {
        Some(most) => format!("{queues} of {most}"),
        None => queues.to_string(),
    };
    let cores = u32::try_from(cores).unwrap_or(u32::MAX);
    let most = queues_max.unwrap_or(queues);
    if cores > queues && most > queues {
        return Finding::warn("queues", saw)
            .means("fewer than cores: some stay idle")
            .mend(format!("ethtool -L {name} combined {}", cores.min(most)));
    }
    Finding::ok("queues", saw)
}

/// Who may change how frames are spread does so for a reason: only told.
fn spread(name: &str, spread: &Spread, queues: u32) -> Finding {
    let by = match spread.by_ports {
        Some(true) => "UDP by addresses and ports",
        Some(false) => "UDP by addresses alone",
        None => "the driver does not tell by what",
    };
    if spread.queues.is_empty() {
        return Finding::unknown(
            "rss",
            format!("the driver does not tell which queues get frames; {by}"),
        );
    }
    let used = spread.queues.len();
    let saw = format!("{used} of {queues} queues get frames; {by}");
    if u32::try_from(used).unwrap_or(u32::MAX) < queues {
        return Finding::warn("rss", saw)
            .means("some queues get none, and the others more")
            .mend(format!("ethtool -X {name} equal {queues}"));
    }
    if queues > 1 && spread.by_ports == Some(false) {
        return Finding::warn("rss", saw)
            .means("between two nodes everything comes over one queue, and so to one core")
            .mend(format!("ethtool -N {name} rx-flow-hash udp4 sdfn"));
    }
    Finding::ok("rss", saw)
}

fn rings(interface: &Interface) -> Finding {
    let name = interface.name();
    match interface.rings() {
        None => Finding::unknown("ring_size", "the driver does not tell"),
        Some(rings) if rings.rx < rings.rx_max => {
            Finding::warn("ring_size", format!("{} of {} frames", rings.rx, rings.rx_max))
                .means("the NIC loses bursts that its ring has no room for")
                .mend(format!("ethtool -G {name} rx {}", rings.rx_max))
        }
        Some(rings) => Finding::ok("ring_size", format!("{} frames, the most", rings.rx)),
    }
}

/// Tried, for it is the same as what `ringtap run` does and ends at once.
fn promiscuous(interface: &Interface) -> Finding {
    match interface.promiscuous() {
        Ok(_ends_here) => Finding::ok(
            "promiscuous",
            "can be; `ringtap run` makes it so as long as it runs",
        ),
        Err(error) => Finding::fail("promiscuous", error.to_string())
            .means("frames for others are not heard, and those are all of a mirror's")
            .mend("start as root, or with CAP_NET_RAW"),
    }
}

fn offloads(name: &str, features: &[Feature]) -> Finding {
    let on: Vec<&str> = merging(features).iter().map(|(_, short)| *short).collect();
    if on.is_empty() {
        return Finding::ok(
            "offloads",
            "frames are not merged: gro, lro and rx-gro-hw are off",
        );
    }
    let fixed: Vec<&str> = merging(features)
        .iter()
        .filter(|(feature, _)| !feature.can_change)
        .map(|(_, short)| *short)
        .collect();
    let finding = Finding::warn("offloads", format!("frames are merged: {} on", on.join(", ")));
    let finding = if on.contains(&"lro") || on.contains(&"rx-gro-hw") {
        finding.means("what the NIC merges is one packet with wrong lengths for the program; many drivers refuse XDP meanwhile")
    } else {
        finding.means("where XDP is generic, TCP is merged before the program sees it, at some cost")
    };
    if fixed.len() == on.len() {
        return finding.mend("the driver does not let it be switched");
    }
    let options: Vec<String> = on
        .iter()
        .filter(|short| !fixed.contains(short))
        .map(|short| format!("{short} off"))
        .collect();
    finding.mend(format!("ethtool -K {name} {}", options.join(" ")))
}

/// Features that merge frames and are on, with what ethtool calls them.
pub(super) fn merging(features: &[Feature]) -> Vec<(&Feature, &'static str)> {
    let find = |(kernel, short): &(&str, &'static str)| {
        let feature = features.iter().find(|feature| feature.name == *kernel)?;
        feature.is_on.then_some((feature, *short))
    };
    MERGING.iter().filter_map(find).collect()
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    /// Catches an interface that gets nothing and passes, and one that the host uses and is not told.
    #[test]
    fn links() {
        let states = [Some(Link::Running), Some(Link::NoCarrier), Some(Link::Down), None];
        let found = states.map(|state| link("tap0", state).state);
        assert_eq!(found, [State::Ok, State::Warn, State::Fail, State::Unknown]);
        assert_eq!(host_use(true).state, State::Warn);
    }

    /// Catches queues that get no frames, or all of them, and are not told.
    #[test]
    fn spreads() {
        let of = |queues: &[u32], by_ports| Spread {
            queues: queues.to_vec(),
            by_ports,
        };
        for (told, queues, expected) in [
            (of(&[0, 1], Some(true)), 2, State::Ok),
            (of(&[0, 1], Some(false)), 2, State::Warn),
            (of(&[0], Some(false)), 1, State::Ok),
            (of(&[0, 1], Some(true)), 4, State::Warn),
            (of(&[], None), 4, State::Unknown),
        ] {
            assert_eq!(spread("tap0", &told, queues).state, expected, "{told:?} {queues}");
        }
    }

    /// Catches advice that the driver cannot follow: more queues than it has.
    #[test]
    fn queues_for_cores() {
        assert_eq!(queues("tap0", Some(2), Some(8), 2).state, State::Ok);
        let few = queues("tap0", Some(2), Some(3), 4);
        assert_eq!(few.state, State::Warn);
        assert_eq!(few.mend.unwrap(), "ethtool -L tap0 combined 3");
        assert_eq!(queues("tap0", Some(2), Some(2), 4).state, State::Ok);
    }
}
