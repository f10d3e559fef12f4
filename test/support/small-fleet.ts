/** Two machines, one model, four agents; small enough to plan in no time. */
export const smallFleet = `
version: 1
name: Small
machines:
  - id: big
    gpus: [{ name: RTX 4090, class: 24g, vramGiB: 24 }]
    modelServer: { kind: ollama, sequences: 4 }
    roles: { coordination: { pollers: 2, workflowSlots: 4, activitySlots: 2 } }
  - id: small
    gpus: [{ name: RTX 3060, class: 12g, vramGiB: 12 }]
    modelServer: { kind: ollama, sequences: 2 }
    roles: { coordination: { pollers: 2, workflowSlots: 4, activitySlots: 2 } }
models:
  - id: llama8b
    family: Llama
    layers: 32
    queryHeads: 32
    kvHeads: 8
    headSize: 128
    context: { reflect: 2048, talk: 2048 }
    quantisations:
      q4:
        fileGiB: 4.6
        rates: { 12g: { tokensPerSecond: 40, slowdown: 0.1 }, 24g: { tokensPerSecond: 100, slowdown: 0.05 } }
archetypes:
  - { id: vesper, count: 3, summary: keeps the evening watch, traits: [calm], maskSeed: 1, cadence: 6h, model: llama8b_q4, leastClass: 8g, mayDegrade: false, tokensPerDay: 5000 }
  - { id: rook, count: 1, summary: counts the birds, traits: [exact], maskSeed: 2, cadence: 1d, model: llama8b_q4, leastClass: 8g, mayDegrade: false, tokensPerDay: 5000 }
`;
