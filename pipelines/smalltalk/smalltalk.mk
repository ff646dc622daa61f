# SmallTalk LM (algorithm 1): routers by EM on fresh chunks of a shuffled corpus, a balanced assignment, experts on
# their shares, and two dense baselines whose training FLOPs equal mixture + routers + scoring.
#
#   corpus -> tokenizer.json -> tokens.{train,valid,test}.tok -> train.tok (shuffled)
#   train.tok, chunk r    -> router/round-r/expert-e (train --continue) -> chunk-r.scr -> chunk-r.asg -> round r + 1
#                            the first rounds in router/start-s, as often as there are starts
#   train.tok, the rest   -> router/experts.scr -> VARIANT/experts.asg -> VARIANT/expert-e  (from trunk where TRUNK > 0)
#   test.tok              -> router/test.scr -> VARIANT/test.asg -> VARIANT/test.e.lp -> VARIANT/test.lp -> report
#
# A variant is one way to assign: `router` is the paper's; `random` and `label` are its ablations. They share
# everything above them in this list, the dense runs included.

ROUTE ?= router
ASSIGN ?= balanced
TRUNK ?= 0
EVALS ?= 12
SAVE_EVERY ?= 2000
CORPUS ?=
LABELS ?=
ROUTER_SCHEDULE ?= constant
STARTS ?= 1
START_ROUNDS ?= 1

# Wrong numbers end here, in a line of their own. 600K tokens are 600000, to make's own arithmetic and jq's as well.
positive := E VOCAB LENGTH ROUTE_PREFIX BATCH TRUNK_BATCH ROUTER_BATCH TOKENS ROUNDS ROUND_SEQUENCES EVALS MEGABYTES JOBS \
    $(foreach m,EXPERT ROUTER,$(m)_LAYERS $(m)_HIDDEN $(m)_HEADS)
whole := WARMUP ROUTER_WARMUP SAVE_EVERY SEED THREADS STARTS START_ROUNDS
share := TRUNK
number := RATE ROUTER_RATE CLIP DECAY
pairs = $(1) $(foreach v,$($(1)),'$(v)=$(subst ','\'',$($(v)))')
ifneq ($(filter smalltalk ablate-% $(RUN)/%,$(MAKECMDGOALS)),)
numbers := $(shell pipelines/numbers $(foreach k,positive whole share number,$(call pairs,$(k))) 2>&1 || echo !)
$(if $(filter !,$(numbers)),$(error $(filter-out !,$(numbers))))
$(foreach n,$(numbers),$(eval override $(n)))
endif

st := pipelines/smalltalk
tools := $(TOOL_BINARIES)
experts := $(shell seq 0 $$(($(E) - 1)))
rounds := $(shell seq 1 $(ROUNDS))
last_round := $(ROUNDS)
ifneq ($(filter-out router label,$(ROUTE)),)
$(error ROUTE=$(ROUTE): one of router, label)
endif
variant := $(if $(filter label,$(ROUTE)),label,$(if $(filter random,$(ASSIGN)),random,router))

.PHONY: smalltalk ablate-random ablate-label
smalltalk: $(RUN)/report.html
	@cat $(RUN)/report.txt
ablate-random: $(RUN)/random/report.html
	@cat $(RUN)/random/report.txt
ablate-label: $(RUN)/label/report.html
	@cat $(RUN)/label/report.txt

# ---- corpus -------------------------------------------------------------------------------------------------

ifeq ($(CORPUS),)
corpus := $(RUN)/corpus
corpus_stamp := $(corpus)/corpus.json
corpus_documents := --documents separator --separator '\0' $(corpus)/*/
$(corpus_stamp): $(call variables,corpus,MEGABYTES DOMAINS) | $(BUILD)/deps
	$(call stage,corpus,pipelines/corpus/fetch --megabytes $(MEGABYTES) $(if $(DOMAINS),--domains $(DOMAINS)) $(corpus))
else
# The names, sizes and times of the user's files are a variable: names may hold spaces, and files may go.
corpus_files := $(shell find -L '$(CORPUS)' -type f -not -name '.*' -printf '%P %s %T@\n' | LC_ALL=C sort | cksum)
corpus_stamp := $(call variables,corpus,CORPUS corpus_files)
corpus_documents := '$(CORPUS)'
endif
text = --split $(SPLIT) $(corpus_documents)

# ---- tokens -------------------------------------------------------------------------------------------------

$(RUN)/tokenizer.json: $(corpus_stamp) $(call variables,vocabulary,CORPUS VOCAB SPLIT) | $(tools)
	$(call stage,vocabulary,$(BIN)/tokenize -q --learn --vocab-size $(VOCAB) $(text) -o $@)

split_streams := $(foreach s,train valid test,$(RUN)/tokens.$(s).tok)
$(split_streams) &: $(RUN)/tokenizer.json $(corpus_stamp) $(call variables,tokens,CORPUS LENGTH SPLIT) | $(tools)
	$(call stage,tokenize,$(BIN)/tokenize -q -t $< --length $(LENGTH) --domain-from dir $(text) -o '$(RUN)/tokens.%s.tok')

$(foreach s,train valid test,$(RUN)/$(s).tok): $(RUN)/%.tok: $(RUN)/tokens.%.tok $(call variables,shuffle,SEED) | $(tools)
	$(call stage,shuffle $*,$(BIN)/shard -q --shuffle --seed $(SEED) --level 0 $< -o $@)

# ---- models and budget --------------------------------------------------------------------------------------

$(RUN)/expert.json: $(call variables,expert,VOCAB LENGTH EXPERT_LAYERS EXPERT_HIDDEN EXPERT_HEADS) | $(BUILD)/deps
	$(Q)$(st)/config $(VOCAB) $(LENGTH) $(EXPERT_LAYERS) $(EXPERT_HIDDEN) $(EXPERT_HEADS) > $@.tmp && mv $@.tmp $@
$(RUN)/router.json: $(call variables,router,VOCAB LENGTH ROUTER_LAYERS ROUTER_HIDDEN ROUTER_HEADS) | $(BUILD)/deps
	$(Q)$(st)/config $(VOCAB) $(LENGTH) $(ROUTER_LAYERS) $(ROUTER_HIDDEN) $(ROUTER_HEADS) > $@.tmp && mv $@.tmp $@

# Ranges of train.tok, steps and FLOPs of every run: what depends on how much text there is.
budget_variables := E TRUNK TRUNK_BATCH LENGTH ROUTE_PREFIX BATCH TOKENS ROUTER_BATCH ROUNDS STARTS START_ROUNDS ROUND_SEQUENCES EVALS
$(RUN)/budget.json: $(RUN)/train.tok $(RUN)/valid.tok $(RUN)/test.tok $(RUN)/expert.json $(RUN)/router.json $(call variables,budget,$(budget_variables)) | $(tools)
	$(Q)$(foreach v,$(budget_variables),$(v)='$($(v))') BIN=$(BIN) $(st)/budget $(RUN) > $@.tmp && mv $@.tmp $@
budget = $$(jq -r '$(1)' $(RUN)/budget.json)

# ---- routers: EM rounds -------------------------------------------------------------------------------------

# Round r trains on chunk r - 1. Chunk 0 is assigned at random; chunk r by the routers of round r.
#
# EM ends in the local optimum that its start leads to. So STARTS starts, each with its own weights and its own
# assignment of chunk 0, see the same chunks for START_ROUNDS rounds, in router/start-S. The start whose assignment of
# the next chunk, which no router has seen, is the most likely goes on alone, in router. One start is there at once.
router_options = --batch $(ROUTER_BATCH) --length $(ROUTE_PREFIX) --warmup $(ROUTER_WARMUP) \
    --schedule $(ROUTER_SCHEDULE) --schedule-steps $(call budget,.routers.steps) \
    --lr $(ROUTER_RATE) --clip $(CLIP) --weight-decay $(DECAY) $(device_options)
router_stamp := $(call variables,routers,ROUTER_SCHEDULE ROUTER_RATE ROUTER_WARMUP CLIP DECAY ROUTE_PREFIX SEED DEVICE)
chunk = $(call budget,.rounds[$(1)].range)

starts := $(if $(filter-out 1,$(STARTS)),$(shell seq 0 $$(($(STARTS) - 1))))
start_rounds := $(if $(starts),$(shell seq $(START_ROUNDS)))
common_rounds := $(filter-out $(start_rounds),$(rounds))
ifeq ($(and $(or $(starts),$(filter 1,$(STARTS))),$(or $(start_rounds),$(filter 1,$(STARTS))),$(common_rounds)),)
$(error STARTS=$(STARTS), START_ROUNDS=$(START_ROUNDS): at least 1 of each, and START_ROUNDS below ROUNDS=$(ROUNDS))
endif
join_round := $(if $(starts),$(firstword $(common_rounds)))
best_start := $(RUN)/router/best-start.json

# START, here and below, is empty where there is one and where the best goes on. Which is the best, recipes ask.
folder = $(RUN)/router$(if $(1),/start-$(1))
best_folder = $(RUN)/router/start-$$(jq .chosen $(best_start))
of_start = $(if $(1), of start $(1))
routers_of = $(foreach e,$(experts),$(call folder,$(1))/round-$(2)/expert-$(e))
router_models = $(addsuffix /model.safetensors,$(call routers_of,$(1),$(2)))

# $(call first_chunk_rule,START)
define first_chunk_rule
$(call folder,$(1))/chunk-0.asg: $(RUN)/budget.json $(RUN)/train.tok $(router_stamp) | $(tools)
	$$(call stage,assign chunk 0$(call of_start,$(1)),$(BIN)/assign -q --method random --experts $(E) --seed $$$$(($(SEED) + 1000 * $(or $(1),0))) \
	  --sequences $$(call chunk,0) $(RUN)/train.tok -o $$@)
endef

# $(call router_rule,START,ROUND,EXPERT,CHUNK,FOLDER OF THE ROUND BEFORE,WHAT OF IT MUST BE THERE)
define router_rule
$(call folder,$(1))/round-$(2)/expert-$(3)/model.safetensors: $(6) $(RUN)/router.json $(RUN)/tokenizer.json
	$$(call stage,router $(3) round $(2)$(call of_start,$(1)),$(LAUNCH) $(BIN)/train -q --resume --restart \
	  $(if $(filter 1,$(2)),--model $(RUN)/router.json --seed $$$$(($(SEED) * 1000 + $(or $(1),0) * $(E) + $(3))),--continue $(5)/round-$(4)/expert-$(3)) \
	  $$(router_options) --tokenizer $(RUN)/tokenizer.json --sequences $$(call chunk,$(4)) --assignment $(5)/chunk-$(4).asg --expert $(3) \
	  --log $(call folder,$(1))/round-$(2)/expert-$(3).jsonl -o $$(@D) $(RUN)/train.tok)
endef
before = $(word $(1),0 $(rounds))
own_files = $(call folder,$(1))/chunk-$(3).asg $(if $(filter-out 0,$(3)),$(call folder,$(1))/round-$(3)/expert-$(2)/model.safetensors)

# $(call score,START,ROUND,RANGE or nothing,STREAM,OUTPUT)
score = $(LAUNCH) $(BIN)/route -q $(addprefix -m ,$(call routers_of,$(1),$(2))) --prefix $(ROUTE_PREFIX) $(device_options) \
    $(if $(3),--sequences $(3)) --log $(5:.scr=.jsonl) $(4) -o $(5)

# $(call chunk_rule,START,ROUND)
define chunk_rule
$(call folder,$(1))/chunk-$(2).scr: $(call router_models,$(1),$(2)) $(RUN)/budget.json
	$$(call stage,score chunk $(2)$(call of_start,$(1)),$$(call score,$(1),$(2),$$(call chunk,$(2)),$(RUN)/train.tok,$$@))
$(call folder,$(1))/chunk-$(2).asg: $(call folder,$(1))/chunk-$(2).scr
	$$(call stage,assign chunk $(2)$(call of_start,$(1)),$(BIN)/assign -q --method balanced --log $$(@:.asg=.report.jsonl) $$< -o $$@)
endef

# $(call round_rules,START,ROUND,ROUND BEFORE)
define round_rules
$(foreach e,$(experts),$(eval $(if $(filter $(join_round),$(2)),\
    $(call router_rule,$(1),$(2),$(e),$(3),$$(best_folder),$(best_start)),\
    $(call router_rule,$(1),$(2),$(e),$(3),$(call folder,$(1)),$(call own_files,$(1),$(e),$(3))))))
$(if $(filter-out $(last_round),$(2)),$(eval $(call chunk_rule,$(1),$(2))))
endef
$(foreach s,$(starts),$(eval $(call first_chunk_rule,$(s)))$(foreach r,$(start_rounds),$(call round_rules,$(s),$(r),$(call before,$(r)))))
$(if $(starts),,$(eval $(call first_chunk_rule,)))
$(foreach r,$(common_rounds),$(call round_rules,,$(r),$(call before,$(r))))

$(best_start): $(foreach s,$(starts),$(RUN)/router/start-$(s)/chunk-$(START_ROUNDS).asg)
	$(call stage,choose start,$(st)/best-start $(^:.asg=.report.jsonl) > $@.tmp && mv $@.tmp $@)

# The last routers score the experts' part and the held-out streams.
$(RUN)/router/experts.scr: $(call router_models,,$(last_round)) $(RUN)/budget.json
	$(call stage,score shares,$(call score,,$(last_round),$(call budget,.experts.range),$(RUN)/train.tok,$@))
$(RUN)/router/%.scr: $(call router_models,,$(last_round)) $(RUN)/%.tok
	$(call stage,score $*,$(call score,,$(last_round),,$(RUN)/$*.tok,$@))

# ---- assignment: one rule a variant -------------------------------------------------------------------------

$(RUN)/router/experts.asg: $(RUN)/router/experts.scr $(call variables,assign,ASSIGN)
	$(call stage,assign shares,$(BIN)/assign -q --method $(ASSIGN) --seed $(SEED) --log $(@:.asg=.report.jsonl) $< -o $@)
$(RUN)/router/valid.asg $(RUN)/router/test.asg: $(RUN)/router/%.asg: $(RUN)/router/%.scr
	$(call stage,assign $*,$(BIN)/assign -q --method argmax $< -o $@)

held_out := valid test
$(foreach s,$(held_out),$(RUN)/random/$(s).asg): $(RUN)/random/%.asg: $(RUN)/%.tok $(call variables,random,E) | $(tools)
	$(call stage,assign $* at random,$(BIN)/assign -q --method random --experts $(E) --seed $(SEED) $< -o $@)
$(RUN)/random/experts.asg: $(RUN)/train.tok $(RUN)/budget.json | $(tools)
	$(call stage,assign at random,$(BIN)/assign -q --method random --experts $(E) --seed $(SEED) --sequences $(call budget,.experts.range) $< -o $@)

$(RUN)/label/labels.tsv: $(RUN)/train.tok $(LABELS) $(call variables,labels,LABELS E) | $(tools)
	$(Q)mkdir -p $(@D) && $(if $(LABELS),cp $(LABELS) $@.tmp,$(BIN)/view --header $< | $(st)/labels $(E) > $@.tmp) && mv $@.tmp $@
$(foreach s,$(held_out),$(RUN)/label/$(s).asg): $(RUN)/label/%.asg: $(RUN)/%.tok $(RUN)/label/labels.tsv | $(tools)
	$(call stage,assign $* by label,$(BIN)/assign -q --method label --labels $(RUN)/label/labels.tsv --experts $(E) $< -o $@)
$(RUN)/label/experts.asg: $(RUN)/train.tok $(RUN)/label/labels.tsv $(RUN)/budget.json | $(tools)
	$(call stage,assign by label,$(BIN)/assign -q --method label --labels $(RUN)/label/labels.tsv --experts $(E) --sequences $(call budget,.experts.range) $< -o $@)

# ---- training: trunk, dense, experts ------------------------------------------------------------------------

train_stamp := $(call variables,train,RATE WARMUP CLIP DECAY SEED DEVICE)
train_options = --lr $(RATE) --clip $(CLIP) --weight-decay $(DECAY) --seed $(SEED) \
    --tokenizer $(RUN)/tokenizer.json --save-every $(SAVE_EVERY) $(device_options)
train_inputs := $(RUN)/train.tok $(RUN)/valid.tok $(RUN)/budget.json $(RUN)/expert.json $(RUN)/tokenizer.json $(train_stamp)

# Warm-up, then cosine to a tenth. A trunk stays at its peak, and the experts that branch from it begin the descent.
from_scratch = --model $(RUN)/expert.json --warmup $(WARMUP)

# $(call train_run,BUDGET KEY,SCHEDULE,MORE OPTIONS)
train_run = $(LAUNCH) $(BIN)/train -q --resume --restart $(train_options) --schedule $(2) $(3) --batch $(call budget,$(1).batch) --eval $(RUN)/valid.tok --eval-every $(call budget,$(1).eval_every) \
    --log $(@D).jsonl -o $(@D) $(RUN)/train.tok

$(RUN)/trunk/model.safetensors: $(train_inputs) | $(tools)
	$(call stage,trunk,$(call train_run,.trunk,constant,$(from_scratch) --sequences $(call budget,.trunk.range) --steps $(call budget,.trunk.steps)))
$(RUN)/dense-long/model.safetensors $(RUN)/dense-wide/model.safetensors: $(RUN)/dense-%/model.safetensors: $(train_inputs) | $(tools)
	$(call stage,dense-$*,$(call train_run,.dense.$*,cosine,$(from_scratch) --steps $(call budget,.dense.$*.steps)))

# 0, 0.0, 0.00: none
trunk := $(if $(subst .,,$(subst 0,,$(TRUNK))),$(RUN)/trunk/model.safetensors)

# $(call expert_rule,VARIANT,EXPERT)
define expert_rule
$(RUN)/$(1)/expert-$(2)/model.safetensors: $(RUN)/$(1)/experts.asg $(RUN)/$(1)/valid.asg $(trunk) $(train_inputs)
	$$(call stage,$(1): expert $(2),$$(call train_run,.experts,cosine,$(if $(trunk),--continue $(RUN)/trunk --warmup $$(call budget,.trunk.steps),$(from_scratch)) \
	  --sequences $$(call budget,.experts.range) --assignment $$< --expert $(2) --eval-assignment $(RUN)/$(1)/valid.asg))
# evaluation: only its own share; and, for the bounds in the report, everything
$(RUN)/$(1)/test.$(2).lp: $(RUN)/$(1)/expert-$(2)/model.safetensors $(RUN)/$(1)/test.asg
	$$(call stage,$(1): evaluate expert $(2),$(LAUNCH) $(BIN)/route -q --per-token -m $$(<D) $(device_options) --assignment $(RUN)/$(1)/test.asg --expert $(2) --log $$(@:.lp=.jsonl) $(RUN)/test.tok -o $$@)
$(RUN)/$(1)/all.$(2).lp: $(RUN)/$(1)/expert-$(2)/model.safetensors $(RUN)/test.tok
	$$(call stage,$(1): expert $(2) on all,$(LAUNCH) $(BIN)/route -q --per-token -m $$(<D) $(device_options) --log $$(@:.lp=.jsonl) $(RUN)/test.tok -o $$@)
endef

# $(call variant_rules,VARIANT)
define variant_rules
$(foreach e,$(experts),$(eval $(call expert_rule,$(1),$(e))))
$(RUN)/$(1)/test.lp: $(RUN)/$(1)/test.asg $(foreach e,$(experts),$(RUN)/$(1)/test.$(e).lp)
	$$(call stage,$(1): mix,$(BIN)/mix -q --rule select --assignment $$< $$(filter %.lp,$$^) -o $$@)
$(RUN)/$(1)/oracle.lp $(RUN)/$(1)/bayes.lp: $(RUN)/$(1)/%.lp: $(foreach e,$(experts),$(RUN)/$(1)/all.$(e).lp)
	$$(call stage,$(1): mix $$*,$(BIN)/mix -q --rule $$* $$^ -o $$@)
$(RUN)/$(1)/report.json: $(foreach d,long wide,$(RUN)/test.dense-$(d).lp) $(RUN)/$(1)/test.lp $(RUN)/$(1)/oracle.lp $(RUN)/$(1)/bayes.lp \
    $(st)/report-json $(st)/domain-table
	$$(call stage,$(1): report,BIN=$(BIN) PRESET=$(PRESET) SEED=$(SEED) DEVICE=$(DEVICE) CORPUS='$(CORPUS)' $(st)/report-json $(RUN) $(1) > $$@.tmp && mv $$@.tmp $$@)
$(RUN)/$(1)/report.html: $(RUN)/$(1)/report.json $(filter-out $(st)/report-json,$(wildcard $(st)/report* $(st)/*.jq $(st)/plots/*))
	$(Q)$(st)/report-text $(RUN) $(1) > $$(@:.html=.txt) && $(st)/report-html $(RUN) $(1) > $$@.tmp && mv $$@.tmp $$@
endef
$(foreach v,router random label,$(eval $(call variant_rules,$(v))))

$(RUN)/test.dense-%.lp: $(RUN)/dense-%/model.safetensors $(RUN)/test.tok
	$(call stage,evaluate dense-$*,$(LAUNCH) $(BIN)/route -q --per-token -m $(<D) $(device_options) --log $(@:.lp=.jsonl) $(RUN)/test.tok -o $@)

# The long runs first, so that no core waits for one of them at the end.
$(RUN)/report.html: $(RUN)/dense-long/model.safetensors $(trunk) $(RUN)/$(variant)/experts.asg $(RUN)/dense-wide/model.safetensors \
    $(RUN)/$(variant)/report.html $(call variables,report,ROUTE ASSIGN)
	$(Q)for f in json txt html; do cp $(RUN)/$(variant)/report.$$f $@.tmp && mv $@.tmp $(RUN)/report.$$f; done
