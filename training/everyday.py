"""Makes everyday sentences from our own templates: the language of errands, weather, families and clocks, without end."""

from __future__ import annotations

import random
import re

_SLOTS: dict[str, str] = {
    "who": "I|you|we|they|he|she|my mother|my father|my brother|my sister|our neighbor|the teacher|the doctor|the driver|the old woman|"
    "the young man|the children|her uncle|his aunt|a friend of mine|my grandfather|the waiter|the farmer|the girl|the boy|everyone|"
    "nobody|somebody|the nurse|the students|our guests|the police|the manager|my cousin|the twins|the people upstairs",
    "did": "bought|lost|found|forgot|sold|carried|cleaned|painted|opened|closed|dropped|kept|moved|wanted|needed|liked|hated|borrowed|"
    "watched|remembered|brought|washed|fixed|broke|built|sent|showed|picked up|put away|threw out|looked for|asked for|talked about|"
    "wrote about|waited for|took|left|hid|chose|drew|held|ordered|paid for|returned|shared|stole|touched|used|visited|saw",
    "do": "buy|find|sell|carry|clean|paint|open|close|drop|keep|move|want|need|like|borrow|watch|remember|bring|wash|fix|break|build|"
    "send|show|pick up|put away|throw out|look for|ask for|talk about|wait for|take|leave|hide|choose|draw|hold|order|pay for|return|use|see",
    "doing": "buying|finding|selling|carrying|cleaning|painting|opening|closing|keeping|moving|borrowing|watching|bringing|washing|"
    "fixing|breaking|building|sending|showing|looking for|asking for|talking about|waiting for|taking|leaving|choosing|drawing|holding|using",
    "adj": "old|new|small|big|little|heavy|light|red|blue|green|yellow|black|white|brown|gray|cheap|expensive|beautiful|ugly|broken|clean|"
    "dirty|empty|full|warm|cold|hot|dry|wet|long|short|strange|lovely|quiet|loud|soft|hard|fresh|sweet|huge|narrow|wide|wooden|golden|"
    "silver|comfortable|favorite|famous|simple|bright|dark|thick|thin|round|square|delicious|wonderful|terrible|funny|sharp|smooth",
    "thing": "book|table|chair|lamp|letter|key|umbrella|coat|hat|shirt|dress|shoe|bag|box|bottle|glass|cup|plate|knife|spoon|fork|bowl|"
    "phone|camera|computer|radio|television|clock|watch|picture|mirror|window|door|car|bicycle|bus|boat|train|ticket|passport|map|pen|"
    "pencil|newspaper|magazine|guitar|piano|ball|toy|bed|sofa|blanket|pillow|carpet|basket|ladder|hammer|sandwich|cake|pizza|apple|"
    "orange|banana|potato|tomato|onion|egg|cheese|bread|butter|soup|salad|coffee|tea|milk|juice|water|house|garden|tree|flower|rose|dog|"
    "cat|horse|cow|sheep|bird|chicken|parrot|fish|song|story|film|game|gift|ring|suitcase|wallet|purse|jacket|sweater|scarf|glove|boot|"
    "sock|button|needle|candle|match|stove|oven|fridge|machine|engine|wheel|tool|rope|stone|brick|fence|gate|roof|wall|photograph|"
    "computer program|report|bill|receipt|credit card|envelope|stamp|package|notebook|dictionary|question|answer|job|idea|plan",
    "place": "kitchen|garden|bedroom|bathroom|office|school|library|hospital|museum|station|airport|market|bank|church|park|restaurant|"
    "hotel|village|city|theater|bakery|pharmacy|post office|supermarket|swimming pool|beach|forest|farm|factory|garage|basement|"
    "mountains|river|lake|harbor|bridge|street|corner|square|classroom|university|stadium|elevator|hall|attic|yard|bus stop",
    "where": "in the|near the|behind the|at the|next to the|in front of the|outside the|on the way to the|not far from the|across from the",
    "when": "this morning|yesterday|last night|on Monday|on Tuesday|on Wednesday|on Thursday|on Friday|on Saturday|on Sunday|last week|"
    "in January|in February|in March|in April|in May|in June|in July|in August|in September|in October|in November|in December|"
    "every day|twice a week|after dinner|before breakfast|at noon|at midnight|in the evening|in the afternoon|during the summer|"
    "all winter|in the spring|two days ago|a month ago|a long time ago|for the first time|once again|early in the morning|on my birthday",
    "later": "tomorrow|tonight|next week|next month|on Monday|on Friday|on Sunday morning|in a few minutes|in an hour|soon|after lunch|"
    "before it gets dark|when you have time|as soon as possible|later today|at the end of the month|in two weeks|at half past [n]",
    "feel": "tired|happy|sad|angry|hungry|thirsty|sick|afraid|excited|bored|surprised|lonely|proud|nervous|worried|busy|late|ready|"
    "careful|sorry|lucky|wrong|right|asleep|awake|alone|married|rich|poor|polite|patient|brave|lazy|sure|certain|delighted",
    "weather": "rain|snow|be sunny|be windy|be cloudy|be cold|be very hot|get warmer|freeze|clear up|be foggy|thunder",
    "act": "go home|take a walk|read a book|listen to music|play cards|drink some coffee|go swimming|learn English|ride a bike|"
    "cook dinner|bake a cake|write a letter|call the doctor|take a taxi|catch the train|climb the mountain|feed the dog|wash the dishes|"
    "cut the grass|sing a song|tell a joke|visit the museum|sit by the fire|sleep a little longer|speak more slowly|turn on the light|"
    "turn off the radio|make the beds|clean the windows|lock the door|answer the phone|change our plans|think about it|wait outside|"
    "look at the stars|paint the fence|plant some flowers|drive to the coast|help your sister|try again|start over|take the stairs",
    "n": "two|three|four|five|six|seven|eight|nine|ten|eleven|twelve",
    "num": "thirteen|fourteen|fifteen|sixteen|seventeen|eighteen|nineteen|twenty|twenty one|thirty|thirty five|forty|forty two|fifty|"
    "sixty|seventy|eighty|ninety nine|a hundred|two hundred and fifty|a thousand|three thousand|a million|[n]|2|3|4|5|6|7|8|9|10|11|12|"
    "15|16|20|24|25|30|36|48|50|64|75|90|99|100|150|365|500|1000|1,200|2,500",
    "year": "1492|1776|1815|1900|1945|1969|1984|1999|2001|2010|2019|2024",
    "clock": "7:30|8:15|9:00|10:45|11:20|noon|six o'clock|half past [n]|a quarter to [n]|a quarter past [n]|[n] in the morning",
    "name": "Anna|Ben|Clara|Daniel|Emma|Frank|George|Helen|Jack|Julia|Kate|Laura|Mark|Mary|Michael|Nina|Oliver|Paul|Peter|Robert|Sarah|"
    "Susan|Thomas|Tom|William|Mr. Brown|Mrs. Miller|Dr. Green|Mr. Johnson|Mrs. Smith",
    "land": "England|France|Germany|Italy|Spain|Japan|China|India|Canada|Mexico|Brazil|Egypt|London|Paris|Rome|Berlin|New York|Chicago|"
    "Boston|Scotland|Ireland|Russia|Australia|Africa|Europe|America",
    "adv": "quickly|slowly|carefully|quietly|suddenly|finally|happily|usually|always|never|often|almost|probably|certainly|really|simply",
}

_TEMPLATES = """[who] [did] the [adj] [thing] [when].|[who] [did] a [thing] [where] [place].|the [thing] is [where] [place].
the [adj] [thing] was too [adj] for the [place].|there were [num] [thing]s [where] [place] [when].|can you [act], please?
could you please [do] the [thing] [later]?|would you like to [act] [later]?|do you know where the [thing] is?
where did you [do] that [adj] [thing]?|I think that [who] [adv] [did] the [thing].|it is going to [weather] [later].
I hope it will not [weather] [later].|we should [act] [later].|let us [act] before we [act].
[who] told me that the [thing] was [adj].|please do not [do] the [thing] [where] [place].|I am [feel], so I will [act].
why are you so [feel] today?|the [thing] costs [num] dollars.|it happened in [year], [where] [place].|the train leaves at [clock].
[name] is [feel] because the [thing] is [adj].|[name] and [name] went to [land] [when].|have you ever been to [land]?
I have been [doing] the [thing] since [clock].|[who] had never seen such a [adj] [thing].|if you [do] the [thing], I will [act].
when [name] came home, the [thing] was [adj].|although the [thing] was [adj], [who] [did] it.
[who] lived [where] [place] for [num] years.|she said, "[act], and then [act]."|what did [name] [do] [when]?
how many [thing]s do you need?|it's not [adj], it's [adj]!|I don't like the [adj] [thing], but I [adv] [do] it.
we can't [act], because it's too [adj].|he'll [do] the [thing] [later].|they've [adv] had a [thing] like this.
thank you for the [adj] [thing].|I am sorry about the [thing].|the [place] is [num] miles from here.
[who] worked at the [place] until [when].|be careful with the [adj] [thing].|one of the [thing]s fell off the [thing].
[who] stood [where] [place] and [did] the [adj] [thing].|my [adj] [thing], the [thing], and the [thing] are all [where] [place].
no, that is not the [thing] that [who] [did].|yes, [name] will [act] [later].|good morning, [name], did you [do] the [thing]?
is there a [place] near the [place]?|the room has [n] [thing]s and a [adj] [thing].|are you still [doing] the [thing]?
[name] was born in [land] in [year].|my phone number is [n] [n] [n], [n] [n].|I would rather [act] than [act].
this [thing] is much more [adj] than that [thing].|the [thing] on the [thing] belongs to [name].
about [num] percent of the [thing]s were [adj].|remember to [do] the [thing] and [act].
nobody in the [place] knew how to [do] the [thing].|we were [doing] the [thing] when the [thing] fell.|who [did] my [adj] [thing]?"""

_SLOT = re.compile(r"\[(\w+)\]")
_CHOICES = {name: choices.split("|") for name, choices in _SLOTS.items()}
_FRAMES = [frame for line in _TEMPLATES.splitlines() for frame in line.split("|")]


def make_sentence(rng: random.Random) -> str:
    """Return one sentence, its first letter capital, articles in agreement."""
    text = rng.choice(_FRAMES)
    while _SLOT.search(text):
        text = _SLOT.sub(lambda slot: rng.choice(_CHOICES[slot[1]]), text)
    text = re.sub(r"\b([Aa]) (?=[aeiou])", r"\1n ", text)
    text = re.sub(r"(ch|sh|s|x)s\b(?= [a-z])", r"\1es", text)
    return text[0].upper() + text[1:]
