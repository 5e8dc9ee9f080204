//! `--fix`: what can be mended without harm. Each thing is done only where it is needed and can be verified, so a second time does
//! nothing.
//!
//! Left to the operator: to bring an interface up (the host's own stack would begin to speak on it), to change the number of queues, an MTU
//! or the memory of the system, and anything on an interface that the host itself uses or that a capture reads.

use std::fs;

use ringtap_xsk::{Feature, Interface};

use super::cores::governor_file;
use super::host::Files;
use super::nic::merging;
use super::{Fixed, Trial, trial};

pub(super) fn all(interfaces: &[Interface], cores: &[usize], files: &Files, trial: Trial) -> Vec<Fixed> {
    let mut done = Vec::new();
    for interface in interfaces {
        if interface.is_used_by_host() {
            done.push(left(interface, "the host itself speaks over it"));
        } else if trial == Trial::Never {
            done.push(left(
                interface,
                "whether somebody captures there is not tried: --trial never",
            ));
        } else if let Some(why) = trial::is_occupied(interface) {
            done.push(left(interface, why));
        } else {
            done.extend(offloads(interface));
            done.extend(rings(interface));
        }
    }
    done.extend(cores.iter().filter_map(|core| governor(*core, files)));
    done
}

fn left(interface: &Interface, why: &str) -> Fixed {
    Fixed {
        subject: interface.name().to_owned(),
        did: "nothing".to_owned(),
        error: Some(format!("left alone: {why}")),
    }
}

fn offloads(interface: &Interface) -> Option<Fixed> {
    let features = interface.features().ok()?;
    let wanted: Vec<(&Feature, &str)> = merging(&features)
        .into_iter()
        .filter(|(feature, _)| feature.can_change)
        .collect();
    if wanted.is_empty() {
        return None;
    }
    let options: Vec<String> = wanted.iter().map(|(_, short)| format!("{short} off")).collect();
    let which: Vec<&Feature> = wanted.iter().map(|(feature, _)| *feature).collect();
    let error = match interface.switch(&which, false) {
        Err(error) => Some(error.to_string()),
        Ok(()) => {
            let after = interface.features().unwrap_or_default();
            let still: Vec<&str> = merging(&after)
                .iter()
                .filter(|(feature, _)| feature.can_change)
                .map(|(_, short)| *short)
                .collect();
            (!still.is_empty()).then(|| format!("the driver leaves {} on", still.join(", ")))
        }
    };
    Some(Fixed {
        subject: interface.name().to_owned(),
        did: format!("ethtool -K {} {}", interface.name(), options.join(" ")),
        error,
    })
}

fn rings(interface: &Interface) -> Option<Fixed> {
    let before = interface.rings().filter(|rings| rings.rx < rings.rx_max)?;
    let error = match interface.widen_rings() {
        Err(error) => Some(error.to_string()),
        Ok(()) => match interface.rings() {
            Some(after) if after.rx == before.rx_max => None,
            _ => Some("the driver made it no larger".to_owned()),
        },
    };
    Some(Fixed {
        subject: interface.name().to_owned(),
        did: format!("ethtool -G {} rx {}", interface.name(), before.rx_max),
        error,
    })
}

/// Of a core that was named, which is to be a reader's alone.
fn governor(core: usize, files: &Files) -> Option<Fixed> {
    let name = governor_file(core);
    if files.read(&name)? == "performance" {
        return None;
    }
    let written = fs::write(files.path(&name), "performance");
    let error = match written {
        Err(error) => Some(error.to_string()),
        Ok(()) if files.read(&name).as_deref() == Some("performance") => None,
        Ok(()) => Some("the kernel did not take it".to_owned()),
    };
    Some(Fixed {
        subject: format!("core {core}"),
        did: format!("echo performance > /{name}"),
        error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches a governor that is set where there is none, or again and again.
    #[test]
    fn governors() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(governor_file(1));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "powersave\n").unwrap();
        let files = Files::below(folder.path());
        let done = all(&[], &[0, 1], &files, Trial::Auto);
        assert_eq!(done.len(), 1, "{done:?}");
        assert_eq!(done[0].error, None);
        assert_eq!(fs::read_to_string(&path).unwrap(), "performance");
        assert_eq!(all(&[], &[0, 1], &files, Trial::Auto), []);
    }
}
