// OpenAI's own JavaScript library against a gateway: node ask.mjs BASE_URL MODEL
// Prints one JSON object: what it saw.
import OpenAI from "openai";

const [baseURL, model] = process.argv.slice(2);
const library = new OpenAI({ baseURL, apiKey: "none", maxRetries: 0 });
const asked = {
  model,
  messages: [{ role: "user", content: "hello" }],
  max_tokens: 8,
  temperature: 0,
};

// The provider that dies in mid-answer is met with the first request or soon after, and left then.
const routes = [];
const answers = new Set();
for (let number = 0; number < 8; number++) {
  const pieces = [];
  for await (const event of await library.chat.completions.create({ ...asked, stream: true })) {
    pieces.push(event.choices[0].delta.content ?? "");
    if (event.choices[0].modelex) routes.push(event.choices[0].modelex.route);
  }
  answers.add(pieces.join(""));
}

const whole = await library.chat.completions.create(asked);

if (answers.size !== 1 || !answers.has(whole.choices[0].message.content)) throw new Error([...answers].join("|"));

const streamed = [];
let usage = null;
const events = await library.chat.completions.create({
  ...asked,
  stream: true,
  stream_options: { include_usage: true },
});
for await (const event of events) {
  streamed.push(event.choices[0]?.delta?.content ?? "");
  usage = event.usage ?? usage;
}

const models = [];
for await (const one of library.models.list()) models.push(one.id);

async function fail(change) {
  try {
    await library.chat.completions.create({ ...asked, ...change });
  } catch (error) {
    return { kind: error.constructor.name, status: error.status, code: error.code };
  }
  return null;
}

// The library's own loop: asks, runs what is called, sends the results back, until there is an answer.
const looked = [];
const runner = library.chat.completions.runTools({
  model,
  messages: [{ role: "user", content: "What is at the market?" }],
  temperature: 0,
  stream: true,
  tools: [
    {
      type: "function",
      function: {
        name: "look",
        parameters: { type: "object", properties: { place: { type: "string" } } },
        parse: JSON.parse,
        function: ({ place }) => {
          looked.push(place);
          return "a river";
        },
      },
    },
  ],
});
const answer = await runner.finalContent();

console.log(
  JSON.stringify({
    whole: whole.choices[0].message.content,
    streamed: streamed.join(""),
    usages: [whole.usage, usage],
    routes,
    models,
    tools: { looked, answer },
    failures: [
      await fail({ model: `${model}x` }),
      await fail({ frequency_penalty: 1 }),
      await fail({ modelex: { ceiling: "0.000000001" } }),
    ],
  }),
);
