-- prompts.lua: what models are asked: eleven prompts by length and kind, or a file of one's own.
local models = require "luabench.model_file"
local sys = require "luabench.sys"

local M = {}

local BUILT_IN = {
  { "short_factual", "short", "factual", "What is the boiling point of water at sea level?" },
  { "short_creative", "short", "creative", "Write one line about rain on a tin roof." },
  { "short_reasoning", "short", "reasoning", "If all roses are flowers, are all flowers roses?" },
  { "medium_factual", "medium", "factual", [[
Explain how a suspension bridge carries its load. Name the parts that are under tension and those under
compression, and say why the towers are high compared with the sag of the main cables.]] },
  { "medium_creative", "medium", "creative", [[
Write the opening of a story that is set in a lighthouse whose keeper has not spoken to anyone for a year. A
small boat comes in at dusk, and the person in it asks for something that cannot be given.]] },
  { "medium_reasoning", "medium", "reasoning", [[
A farmer has to take a wolf, a goat and a cabbage over a river in a boat that holds him and one of them. The
wolf must not be left with the goat, nor the goat with the cabbage. Give the crossings in order, and say why
each is safe.]] },
  { "long_factual", "long", "factual", [[
Describe what happens between the moment when a person types an address into a browser and the moment when the
page is shown. Begin with how the name becomes a number, and which machines are asked on the way. Go on with how
a connection is opened, how both sides agree on keys without sending them, and what is proved by a certificate.
Then follow the request through the server, the answer back through the network, and the work of the browser:
reading the text, asking for what it names, building a tree, computing sizes and places, and painting. Say at
each step what is kept, so that the second visit is faster than the first, and what can go wrong there.]] },
  { "long_creative", "long", "creative", [[
Tell the story of a clockmaker in a small town who finds that one of his clocks runs backwards for exactly one
minute every night. Nobody else has noticed. During that minute things that were lost during the day come back:
a glove, a word that had been on the tip of someone's tongue, a promise. He begins to leave things near the
clock on purpose. His neighbour, a widow who repairs accordions, brings him something that was lost much longer
ago than a day. Let the reader learn slowly what it is, and let the ending turn on the question of what one may
ask to have back. Keep the language plain, and let there be weather in every scene.]] },
  { "long_reasoning", "long", "reasoning", [[
A library lends books for fourteen days. Of its readers one half return their books on time, three tenths are
one week late, and the rest keep them for two months. A fine is ten cents a day for the first thirty days after
the due date, and nothing after that. The library holds four thousand books, and on an average day a quarter of
them are with readers. Work out how many loans begin on an average day, what share of all loans ends with a
fine, and how much a day the fines bring in. State every assumption. Then consider a proposal to double the
fine, which is expected to make one half of those who are one week late return on time and to change nothing
else: does the library take more money or less, and are more books on the shelves?]] },
  { "very_long_factual", "very_long", "factual", [[
What follows are notes for a chapter on the history of measuring time. Turn them into a continuous account of
about the same length, in order, without leaving out any of the facts.
The sun gave the first clock. A stick in the ground casts a shadow that is shortest at noon, and its direction
at noon is always the same. Sundials divide the light of a day into twelve parts, so that an hour in summer was
longer than one in winter; this did not trouble anyone for two thousand years. At night and under clouds people
used water: a vessel with a hole near its bottom empties at a rate that falls with the height of the water, so
that careful makers shaped the vessel or kept it full from another one. Candles with marks, and glasses with
sand, measured spans and not the time of day. Clocks with wheels appeared in the towers of churches around the
end of the thirteenth century. A weight pulled a cord from a drum, and a bar that swung to and fro stopped a
toothed wheel at each swing. The bar had no rate of its own, so that such a clock lost or gained a quarter of an
hour in a day and was set by a sundial. A spring in the place of the weight made clocks that could be carried,
but a spring pulls less as it unwinds; a cone with a spiral groove evened that out. A pendulum has a rate of its
own, which hardly depends on how far it swings. Clocks with pendulums kept time to some seconds in a day, and
for the first time it made sense to give them a hand for minutes. On a ship a pendulum is of no use. Who wants
to know how far east or west he is has to know the time at a place whose position is known: four minutes are one
degree. A balance wheel with a spiral spring, made of two metals so that warmth did not change its rate, kept
the time of the port over months at sea, to within some seconds.
Railways brought the same time to whole countries, because a timetable is no use where each town has its own
noon. Zones of one hour each were agreed on. Then it was found that the earth itself is no good clock: it slows
down, and not evenly. A crystal of quartz in an electric circuit swings many thousands of times in a second and
showed it. Today the second is a number of swings of the light that an atom of caesium takes up, and clocks that
use it differ by less than a second in millions of years. Satellites carry such clocks, and a receiver that
hears four of them knows the time and where it is.]] },
  { "very_long_creative", "very_long", "creative", [[
Here is the beginning of a letter. Continue it in the same voice, and bring it to an end that the writer did not
foresee when she began.
Dear Tomas, you asked me to write down how it was in the house on the hill before you were born, and I have put
it off for so long that I am now the only one left who can. You know the house as it is: the roof with its
patches of three colours, the stair that turns the wrong way, the kitchen where everybody stands because there
has never been a table that was large enough. In those days it was not a house at all but a barn that my father
had won, or so he said, in a game of cards against a man who had no right to lose it. He carried the stones for
the chimney up from the river himself, two at a time, in the bags that the postman had left with us when he gave
up his round. I remember the sound of them when he set them down. I remember that he never set them down near
the door, as anyone else would have, but always carried them right to the wall, as if the last twenty steps were
what he would be asked about.
There were five of us and then six. My brother Anton kept bees, which were his from the day on which a swarm
came into the loft and he was the only one who did not run. My sister wanted to be a singer and practised in the
well, with her head over the edge, because of how it answered her. I did nothing that anyone could have named. I
read what there was: the almanac, a book about the diseases of sheep, half a novel. The other half had been used
to light the stove, and for years I made up endings for it, one for each winter, and told them to the others
when the lamp was out. They never said which one they liked best. Anton told me much later that he had been so
sure of the right one that it had not occurred to him to say. The winter that I want to tell you about began
with a knock. It was the kind of evening on which nobody could have come: the road had been gone since noon, and
the snow stood at the windows so that the light in the room was blue. My father looked at my mother, and my
mother looked at the six bowls on the shelf and took down a seventh before anybody had moved.]] },
}

local function built_in()
  local list = {}
  for i, p in ipairs(BUILT_IN) do
    list[i] = { name = p[1], length = p[2], category = p[2] .. "_" .. p[3], kind = p[3], text = p[4] }
  end
  return list
end

local function entry(path, i, p, seen)
  local function bad(why) error(("%s: prompt %d: %s"):format(path, i, why), 0) end
  if type(p) ~= "table" then bad("an object { \"name\", \"category\", \"text\" } was expected, got " .. type(p)) end
  for key, v in pairs(p) do
    if key ~= "name" and key ~= "category" and key ~= "text" then
      bad(("unknown field %q; there are name, category and text"):format(tostring(key)))
    end
    if type(v) ~= "string" then bad(("%s should be a text, got a %s"):format(key, type(v))) end
  end
  if not p.text or p.text == "" then bad "it has no text" end
  if not p.category or p.category == "" then bad "it has no category" end
  local name = p.name or ("%s_%d"):format(p.category, i)
  if seen[name] then bad(("the name %q is there twice"):format(name)) end
  seen[name] = true
  return { name = name, category = p.category, text = p.text }
end

-- The prompts: the built-in ones, or those of a JSON file: a list of { name?, category, text }, or { prompts = list }.
-- Raises (level 0).
function M.load(path)
  if not path then return built_in() end
  if not sys.exists(path) then error(path .. ": no such file", 0) end
  local value = models.read_json(path)
  local list = value.prompts or value
  if type(list) ~= "table" or #list == 0 then
    error(path .. ": a list of prompts { \"name\", \"category\", \"text\" } was expected", 0)
  end
  local prompts, seen = {}, {}
  for i, p in ipairs(list) do prompts[i] = entry(path, i, p, seen) end
  return prompts
end

return M
