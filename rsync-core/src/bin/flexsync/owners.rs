// SPDX-License-Identifier: MIT OR Apache-2.0

//! The options that say whose files become.

use crate::command::Given;
use clap::{Arg, ArgAction, ArgMatches};
use rsync_core::idmap::IdMap;

/// `--usermap` or `--groupmap`, and the part of `--chown` that means the same.
struct Map {
    name: &'static str,
    whose: &'static str,
    help: &'static str,
    read: fn(&str) -> Result<IdMap, rsync_core::idmap::IdMapError>,
    part: fn(&str) -> &str,
}

const USERS: Map = Map {
    name: "usermap",
    whose: "user",
    help: "Give files other owners: FROM:TO, divided by commas, each a name or a number; FROM may be a pattern or a range of numbers, too; implies --owner",
    read: IdMap::users,
    part: |chown| chown.split_once(':').map_or(chown, |(user, _)| user),
};

const GROUPS: Map = Map {
    name: "groupmap",
    whose: "group",
    help: "The same for groups; implies --group",
    read: IdMap::groups,
    part: |chown| chown.split_once(':').map_or("", |(_, group)| group),
};

/// The options.
pub(crate) fn arguments() -> impl Iterator<Item = Arg> {
    let arg = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .value_name(value)
            .action(ArgAction::Append)
            .help(help)
    };
    let maps = [USERS, GROUPS].map(|map| arg(map.name, "MAP", map.help));
    let chown = arg(
        "chown",
        "USER:GROUP",
        "Give all files this owner and group, or one of them: the same as --usermap=*:USER --groupmap=*:GROUP",
    );
    maps.into_iter().chain([chown])
}

/// The maps of users and of groups.
pub(crate) fn maps(matches: &ArgMatches) -> Result<(IdMap, IdMap), String> {
    Ok((map(matches, &USERS)?, map(matches, &GROUPS)?))
}

fn map(matches: &ArgMatches, map: &Map) -> Result<IdMap, String> {
    let given = |name| matches.get_many::<String>(name).into_iter().flatten();
    let chown = given("chown")
        .map(|chown| (map.part)(chown))
        .filter(|part| !part.is_empty());
    let maps = given(map.name).map(|text| (map.name, text.clone()));
    let mut all = maps.chain(chown.map(|part| ("chown", format!("*:{part}"))));
    let Some((name, text)) = all.next() else {
        return Ok(IdMap::default());
    };
    match all.next() {
        Some((other, _)) if other != name => Err(format!(
            "--{name} cannot be used with a --{other} of a {}: leave one of them out",
            map.whose
        )),
        Some(_) if name == "chown" => Err(format!(
            "--chown can name a {} only once: leave one out",
            map.whose
        )),
        Some(_) => Err(format!(
            "--{name} can be given only once: divide what it maps by commas"
        )),
        None => (map.read)(&text).map_err(|error| format!("--{name}: {error}")),
    }
}

/// What the options imply, at their places.
pub(crate) fn implied(matches: &ArgMatches) -> Vec<Given> {
    let places = |name: &str| {
        let values = matches.get_many::<String>(name).into_iter().flatten();
        let places = matches.indices_of(name).into_iter().flatten();
        places.zip(values).collect::<Vec<_>>()
    };
    let mut implied: Vec<Given> = Vec::new();
    let mut add = |map: &Map, set| {
        let chown = places("chown").into_iter();
        let chown = chown.filter(|(_, chown)| !(map.part)(chown).is_empty());
        let all = places(map.name).into_iter().chain(chown);
        implied.extend(all.map(|(at, _)| (at, set, true)));
    };
    add(&USERS, |command, on| command.options.owner = on);
    add(&GROUPS, |command, on| command.options.group = on);
    implied
}
