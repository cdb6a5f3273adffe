"""Words that do not say which passage of a trace a statement is about, and the languages they tell apart."""

from collections.abc import Iterable
from typing import Final


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Function words by language: case-folded, without accents.
FUNCTION_WORDS: Final = {
    "english": _words(
        """
        a about above after again against all also although always am an and another any are around as at away back be
        became because become been before being below between both but by came can cannot come could did do does doing
        done down due during each either else enough etc even ever every few first for from further gave get gets
        getting give given gives giving go goes going got had has have having he hence her here hers him his how however
        i if in indeed instead into is it its itself just keep keeps kept least less let like made make makes making
        many may me might more most much must my near neither never next no nor not nothing now of off often on once
        only onto or other others our out over own per perhaps put rather really same second see seem seems several
        shall she should show shows since so some something soon still such take taken takes taking than that the their
        them then there thereby these they thing this those though through thus to together too took toward towards
        under unless until up upon us use used uses using very via was way we well went were what when where whether
        which while who whole whom whose why will with within without would yet you your yours
        """
    ),
    "german": _words(
        """
        aber als am auch auf aus bei bis das dass dem den der des die doch durch ein eine einem einen einer es fur hat
        ich ihr im ist kann mich mit nach nicht noch nur oder sein sich sie sind uber um und von vor war wenn werden wie
        wird wir zu zum zur
        """
    ),
    "spanish": _words(
        """
        al como con cuando de del donde el ella en es esta este ha hay la las lo los mas mi muy no nos para pero por que
        quiero se si sin su sus tiene un una y ya
        """
    ),
    "french": _words(
        """
        au aux avec ce ces cette dans des du elle est et il ils je le les leur lui mais ne nous on ou par pas plus pour
        qu qui sa sans ses sont sur une vous
        """
    ),
    "italian": _words("che ci come con dei della di e gli ho il io nel nella non per piu sono tra un una"),
    "portuguese": _words(
        "ao com como da das de do dos e em foi mais na nas nao o os ou pela pelo sao seu sua um uma voce"
    ),
    "dutch": _words("aan dat de een en er het hij ik in is je maar met naar niet ook op te van voor zijn"),
    "russian": _words("в во для до его за и из как к на не но о от по с со то у что это я"),
}
# In which anybody tells of any trace.
_NARRATORS_WORDS: Final = _words(
    """
    agent answer answered answering answers application ask asked asking asks assistant attempt attempts bot call called
    calling calls case comes conversation customer describe described describes end ends final finally find finding
    finds found human later llm mention mentioned mentions model need needed needs offer offered offers output prompt
    provide provided provides providing question questions receive received receives record recorded records replied
    replies reply report reported reports request requested requesting requests respond responded responds response
    result results return returned returning returns run runs said say saying says start started starts stay stays step
    steps successfully task tell telling tells time times told tool tools trace tried tries try trying turn turns user
    users want wanted wants work works
    """
)
STOP_WORDS: Final = _NARRATORS_WORDS.union(*FUNCTION_WORDS.values())
_FEWEST_TELLING = 3  # function words from which on a language is recognized


def language_of(words: Iterable[str]) -> str | None:
    """The language whose function words are most frequent; None where they are too few, as in code or JSON."""
    counts = dict.fromkeys(FUNCTION_WORDS, 0)
    for word in words:
        for language, telling in FUNCTION_WORDS.items():
            counts[language] += word in telling
    best = max(counts, key=lambda language: counts[language])
    return best if counts[best] >= _FEWEST_TELLING else None
