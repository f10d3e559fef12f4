"""Asks a model of the fleet as if it were OpenAI's (docs/gateway.md). Needs: pip install openai, and in the environment
OPENAI_BASE_URL=http://localhost:17000/openai/v1 and OPENAI_API_KEY, the token of a service (soulfra services token SERVICE)."""

import sys

from openai import OpenAI

client = OpenAI()
model = next(model.id for model in client.models.list() if model.id != "embeddings")
question = " ".join(sys.argv[1:]) or "What do you see from the lighthouse?"
stream = client.chat.completions.create(
    model=model,
    messages=[{"role": "user", "content": question}],
    max_tokens=200,
    stream=True,
)
for chunk in stream:
    if chunk.choices:
        print(chunk.choices[0].delta.content or "", end="", flush=True)
print()
vector = client.embeddings.create(model="embeddings", input=question).data[0].embedding
print(f"{model}; the question as a vector of {len(vector)}", file=sys.stderr)
