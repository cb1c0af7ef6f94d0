"""How an alert is worded, for people and for a Slack-compatible receiver. When it is sent is decided in `alerts`.

Messages are made of names that the code gives (kinds, rules, error types, subjects), days and counts. They never
carry the text of an error, a value of a row or an address: nothing personal and no secret can reach a receiver.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

from meva_pipelines.domain.alerts import Kind, Sync
from meva_pipelines.domain.days import SEOUL
from meva_pipelines.domain.digests import LABORATORY, NOTHING_WAITS, Backlog, Concern, Tally

_TITLE_LIMIT = 150
_BODY_LIMIT = 2_900
_RULES_SHOWN = 10
_STAYS = "what was published before stays."


class Severity(StrEnum):
    """How urgent a message is."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Message:
    """A message to people: a title of one line, a body of several."""

    severity: Severity
    title: str
    body: str


_SENTENCES: Mapping[Kind, str] = {
    Kind.CORRUPTION_DETECTED: "a batch was rejected as corrupt",
    Kind.DEADLINE_MISSED: "not published by 07:00",
    Kind.SOURCE_UNAVAILABLE: "the source could not be read",
    Kind.STORE_UNAVAILABLE: "a store of our own could not be used",
    Kind.SYNC_FAILED_REPEATEDLY: "the sync keeps failing",
    Kind.SYNC_TOO_SLOW: "a sync takes more than an hour",
}


def page(kind: Kind | Concern) -> str:
    """Return the path of the page that says what to do."""
    return f"docs/runbook/{kind}.md"


def opened(kind: Kind, sync: Sync, *, failures: int, rules: Sequence[str] = ()) -> Message:
    """Return the message that an attempt opened an incident; `rules` are the critical ones that did not hold."""
    text = _explained(kind, sync, failures=failures, rules=rules)
    return Message(Severity.CRITICAL, _title(kind, sync.subject), _body(text, _attempt(sync), page(kind)))


def _explained(kind: Kind, sync: Sync, *, failures: int, rules: Sequence[str]) -> str:
    broken = f"Rules that did not hold: {_listed(rules)}." if rules else "A guard of the publication refused it."
    said: Mapping[Kind, str] = {
        Kind.CORRUPTION_DETECTED: f"{broken} Nothing was published; {_STAYS}",
        Kind.SOURCE_UNAVAILABLE: f"No complete answer after all retries ({sync.error_type}). {_STAYS.capitalize()}",
        Kind.STORE_UNAVAILABLE: "The object store or the warehouse did not answer, or could take no more. "
        + _STAYS.capitalize(),
        Kind.SYNC_FAILED_REPEATEDLY: f"{failures} tries failed in a row, the last with {sync.error_type or 'no word'}.",
        Kind.SYNC_TOO_SLOW: _too_slow(sync),
        Kind.DEADLINE_MISSED: "The day was not published in time.",
    }
    return said[kind]


def _too_slow(sync: Sync) -> str:
    if sync.finished_at is None:
        return f"It was started at {_at(sync.started_at)} and has not ended."
    return f"It took {_minutes(sync.duration(now=sync.finished_at))} and ended {sync.outcome}."


def deadline_missed(subject: str, day: date, *, published_day: date | None) -> Message:
    """Return the message that a day was not published in time."""
    last = f"The newest published day is {published_day}." if published_day else "No day was ever published."
    text = f"{day} had to be published by 07:00 (Asia/Seoul) of the next day. {last}"
    return Message(
        Severity.CRITICAL,
        _title(Kind.DEADLINE_MISSED, subject),
        _body(text, f"{subject}, {day}", page(Kind.DEADLINE_MISSED)),
    )


def resolved(kind: Kind, sync: Sync, *, opened_at: datetime, occurrences: int) -> Message:
    """Return the message that a success put an end to an incident."""
    times = "once" if occurrences == 1 else f"{occurrences} times"
    text = f"Over. It was open since {_at(opened_at)} and seen {times}."
    title = _title(kind, sync.subject, state="resolved")
    return Message(Severity.INFO, title, _body(text, f"Ended by: {_attempt(sync)}", page(kind)))


def digest(day: date, tallies: Sequence[Tally], backlog: Backlog = NOTHING_WAITS) -> Message | None:
    """Return the daily digest, or None where there is nothing to warn of."""
    waiting = [_warned(concern, _waits(concern, backlog)) for concern in backlog.concerns]
    sections = {f"{LABORATORY}, waiting for people": waiting} if waiting else {}
    for tally in tallies:
        lines = [_warned(concern, _concern(concern, tally)) for concern in tally.concerns]
        sections[f"{tally.subject} from {tally.source}"] = lines
    if not sections:
        return None
    count = sum(map(len, sections.values()))
    title = f"Daily digest {day}: {count} warning{'' if count == 1 else 's'}"
    body = "\n\n".join("\n".join((heading, *lines)) for heading, lines in sections.items())
    return Message(Severity.WARNING, title, body[:_BODY_LIMIT])


def payload(number: int, message: Message) -> dict[str, object]:
    """Return the JSON body for a Slack-compatible incoming webhook; `number` lets people see a repeated delivery."""
    title, body = escaped(message.title), escaped(message.body)
    return {
        "text": f"{_SIGNS[message.severity]} {title}\n{body}",
        "blocks": [
            {"type": "header", "text": {"type": "plain_text", "text": message.title[:_TITLE_LIMIT]}},
            {"type": "section", "text": {"type": "mrkdwn", "text": body}},
            {"type": "context", "elements": [{"type": "mrkdwn", "text": f"{message.severity} · message {number}"}]},
        ],
    }


_SIGNS: Mapping[Severity, str] = {
    Severity.CRITICAL: ":red_circle:",
    Severity.WARNING: ":large_yellow_circle:",
    Severity.INFO: ":large_green_circle:",
}


def escaped(text: str) -> str:
    """Return text in which a receiver finds no links, mentions or entities."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _warned(concern: Concern, said: str) -> str:
    return f"• {concern}: {said} → {page(concern)}"


def _waits(concern: Concern, backlog: Backlog) -> str:
    said: Mapping[Concern, str] = {
        Concern.CONFLICTS_OPEN: f"{backlog.open_conflicts:,} conflicts wait for a decision",
        Concern.TESTS_QUARANTINED: f"{backlog.quarantined_tests:,} tests or files were put into quarantine, "
        f"{backlog.waiting_tests:,} wait there in all",
    }
    return said[concern]


def _concern(concern: Concern, tally: Tally) -> str:
    recovered = [f"{tally.repeated_requests:,} requests repeated"] if tally.repeated_requests else []
    recovered += [f"{_counted(tally.recovered)} failed and a later one succeeded"] if tally.recovered else []
    longest = _minutes(max(tally.slow, default=timedelta()))
    said: Mapping[Concern, str] = {
        Concern.ABSENCES_WITHHELD: f"{tally.withheld_parts} regions lost too many devices, {tally.incomplete_parts} did"
        " not come whole; nobody there was called absent",
        Concern.ATTEMPT_FAILED: f"{_counted(tally.unrecovered)} failed and none succeeded since",
        Concern.ERRORS_RECOVERED: "; ".join(recovered),
        Concern.EXPECTATIONS_UNMET: f"{_listed(sorted(tally.unmet))}; published all the same",
        Concern.FILES_REFUSED: f"{tally.refused_files} files were refused beside others that were published",
        Concern.ROWS_QUARANTINED: f"{tally.quarantined_rows:,} rows wait in quarantine",
        Concern.SYNC_SLOW: f"{len(tally.slow)} took more than 45 min, the longest {longest}",
    }
    return said[concern]


def _counted(errors: Mapping[str, int]) -> str:
    return ", ".join(f"{count} with {error or 'no word'}" for error, count in sorted(errors.items()))


def _title(kind: Kind, subject: str, *, state: str = "") -> str:
    return f"{subject}: {_SENTENCES[kind]}{f' – {state}' if state else ''}"


def _body(text: str, about: str, runbook: str) -> str:
    return f"{text}\n{about}\nWhat to do: {runbook}"


def _attempt(sync: Sync) -> str:
    return f"{sync.subject} from {sync.source}, {sync.mode} of {sync.day}, attempt {sync.token}"


def _listed(rules: Sequence[str]) -> str:
    more = f" and {len(rules) - _RULES_SHOWN} more" if len(rules) > _RULES_SHOWN else ""
    return ", ".join(rules[:_RULES_SHOWN]) + more


def _at(moment: datetime) -> str:
    return f"{moment.astimezone(SEOUL):%Y-%m-%d %H:%M} KST"


def _minutes(duration: timedelta) -> str:
    return f"{duration.total_seconds() / 60:.0f} min"
