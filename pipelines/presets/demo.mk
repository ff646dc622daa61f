# The embedded default: 8 Debian domains, 2 cores, under half an hour.
E ?= 4
TRUNK ?= 0.5

# corpus: at most this many megabytes of text from each domain
MEGABYTES ?= 7
DOMAINS ?= c,changelog,french,german,metamath,prose,registry,russian
SPLIT ?= train=0.97,valid=0.01,test=0.02

# V (bytes and end-of-text: no merges), S, and M
VOCAB ?= 257
LENGTH ?= 256
ROUTE_PREFIX ?= 96

# expert and dense: layers, H, A, F; batch B; tokens of all experts and the trunk together
EXPERT_LAYERS ?= 2
EXPERT_HIDDEN ?= 64
EXPERT_HEADS ?= 4
BATCH ?= 8
TOKENS ?= 45824000
RATE ?= 6e-3
WARMUP ?= 200
CLIP ?= 1.0
DECAY ?= 0.1
TRUNK_BATCH ?= $(BATCH)

# routers: EM rounds, sequences of a round's chunk
ROUTER_LAYERS ?= 1
ROUTER_HIDDEN ?= 32
ROUTER_HEADS ?= 2
ROUTER_BATCH ?= 8
ROUTER_RATE ?= 1e-2
ROUTER_WARMUP ?= 20
ROUTER_SCHEDULE ?= cosine
ROUNDS ?= 16
ROUND_SEQUENCES ?= 2048
STARTS ?= 1
START_ROUNDS ?= 8
