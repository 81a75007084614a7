"""The vocabulary of the synthetic world: what an imaginary shop for games sells, in words that an embedder knows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Genre:
    """One taste: its shelf, the words its titles are made of, and what its descriptions speak of."""

    name: str
    shelf: str
    first_words: tuple[str, ...]
    second_words: tuple[str, ...]
    themes: tuple[str, ...]


def _genre(name: str, shelf: str, first: str, second: str, themes: str) -> Genre:
    return Genre(name, shelf, tuple(first.split()), tuple(second.split()), tuple(themes.split(", ")))


GENRES = (
    _genre(
        "racing",
        "Racing Games",
        "Turbo Asphalt Midnight Desert Rally Drift Formula Street",
        "Racers Circuit Speedway Motors Champions Highway Wheels Pursuit",
        "fast cars, drifting corners, racing circuits, tuned engines, lap times",
    ),
    _genre(
        "farming",
        "Farming Simulations",
        "Sunny Meadow Harvest Green Little Autumn Clover Orchard",
        "Farm Valley Fields Garden Barn Homestead Acres Seasons",
        "growing crops, raising animals, village life, watering a garden, selling vegetables",
    ),
    _genre(
        "horror",
        "Horror Games",
        "Haunted Silent Dark Cursed Bleeding Hollow Forsaken Crimson",
        "Asylum Manor Nightmare Cellar Whispers Graveyard Shadows Mansion",
        "ghosts in the dark, an abandoned hospital, escaping monsters, creeping fear, blood and shadows",
    ),
    _genre(
        "football",
        "Football Games",
        "Super Golden World Premier National Final Street Pro",
        "Football Striker League Goal Kickers Penalty Stadium Eleven",
        "scoring goals, football leagues, transfers of players, penalty shots, cheering stadiums",
    ),
    _genre(
        "strategy",
        "Turn-Based Strategy",
        "Iron Grand Imperial Ancient Rising Fallen Northern Eternal",
        "Empires Legions Generals Conquest Kingdoms Campaign Frontier Dynasty",
        "commanding armies, conquering provinces, diplomacy, careful planning, long campaigns",
    ),
    _genre(
        "puzzle",
        "Puzzle Games",
        "Clever Tiny Crystal Coloured Twisted Endless Magnetic Paper",
        "Blocks Tiles Riddles Cubes Puzzles Jigsaw Logic Patterns",
        "matching coloured blocks, logic riddles, brain teasers, sorting tiles, short calm puzzles",
    ),
    _genre(
        "cooking",
        "Cooking Games",
        "Busy Spicy Royal Sweet Happy Golden Grandma's Sizzling",
        "Kitchen Bakery Chef Restaurant Diner Recipes Pastry Cooks",
        "chopping ingredients, baking cakes, hungry guests, running a restaurant, new recipes",
    ),
    _genre(
        "space",
        "Space Exploration",
        "Stellar Deep Orbital Cosmic Lunar Galactic Solar Void",
        "Explorers Station Frontier Colony Nebula Voyage Starship Outpost",
        "flying a starship, distant planets, trading between the stars, alien ruins, building a colony",
    ),
    _genre(
        "pirates",
        "Pirate Adventures",
        "Salty Black Stormy Caribbean Sunken Jolly Captain's Seven",
        "Buccaneers Treasure Sails Corsairs Galleon Islands Seas Plunder",
        "sailing a ship, buried treasure, battles at sea, tropical islands, hunting pirates",
    ),
    _genre(
        "detective",
        "Detective Mysteries",
        "Missing Foggy Secret Inspector's Last Poisoned Hidden Double",
        "Witness Murder Evidence Case Alibi Suspects Clues Detective",
        "solving murders, questioning suspects, hidden clues, a detective in the rain, courtroom secrets",
    ),
    _genre(
        "fantasy",
        "Fantasy Role-Playing",
        "Dragon Elven Rune Wizard's Sacred Mystic Shattered Enchanted",
        "Quest Sword Prophecy Realm Saga Chronicles Oath Dungeons",
        "slaying dragons, casting spells, levelling heroes, dungeons and loot, an epic quest",
    ),
    _genre(
        "music",
        "Rhythm and Music Games",
        "Electric Neon Dancing Funky Velvet Rocking Disco Vinyl",
        "Beats Guitar Rhythm Melody Drums Karaoke Concert Dancefloor",
        "playing guitar, dancing to the beat, singing karaoke, drumming songs, rhythm challenges",
    ),
)

PLATFORMS = ("Pocket Handheld", "Living-Room Console", "Desktop Computer", "Virtual Reality Headset")

MAKERS = (
    "Northlight",
    "Red Kettle",
    "Paper Fox",
    "Bluestone",
    "Oakhouse",
    "Tin Robot",
    "Second Moon",
    "Lemon Grove",
    "Glass Harbour",
    "Old Lantern",
)

PRAISE = ("Exactly what I look for", "Wonderful", "Could not stop", "My favourite so far", "Well made")
BLAME = ("Not for me", "Bought on a whim", "A gift that missed", "Bored after an hour", "Expected more")
