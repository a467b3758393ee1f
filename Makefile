# The pipelines: each target calls `udaseg run`, which runs the stages that are not up to date and says why.
#
#   make demo                              the whole chain on toytown; needs no data
#   make gta2city DATA=/datasets           a recipe at full scale, on real data
#   make gta2city SCALE=toy                its small twin
#   make demo SEED=1 RUN=runs/demo-1       another seed, in a run of its own
#   make gta2city ROUNDS=3                 self-training in rounds
#   make gta2city SET="warmup.steps=500"   with settings changed (several, separated by spaces)
#   make ablation RECIPE=gta2city SCALE=toy SEEDS="0 1 2"   with each ingredient left out, over seeds
#   make realtime-table SCALE=toy SEEDS="0 1 2"   all rows of the real-time table, measured beside published
#   make augmentation-table SCALE=toy      the upper bound of that table with and without blur and flip, likewise
#   make depth-table SCALE=toy SEEDS="0 1 2"   M1 to M4 of the depth distribution, likewise
#   make cbst-table SCALE=toy              the seven benchmarks of CBST; make cbst-table-gta2city: one of them
#   make multi-band SCALE=toy              FDA: three networks, their average, self-training from it
#   make evidence PAIR=toytown TABLE=ladder   rows over seeds, between their bounds, for docs/results.md; CONTRIBUTING.md
#   make bench                             how fast the kernels and the stages are, beside what else does their work
#   make bench ONLY="fda density"          some of it; OUT=FILE instead of bench.json

PYTHON ?= python3.11
RECIPES = $(patsubst udaseg/config/recipes/%.yaml,%,$(wildcard udaseg/config/recipes/*.yaml))
UDASEG = .venv/bin/udaseg

.PHONY: help test lint docs pictures site reliability $(RECIPES) chain ablation realtime-table augmentation-table depth-table \
	cbst-table multi-band fullscale evidence

help:
	@sed -n 's/^# \{0,1\}//p' Makefile | head -17
	@echo "recipes: $(RECIPES)"

.venv/ready: constraints.txt pyproject.toml
	@echo "installing into .venv: torch and what it needs, some minutes and gigabytes"
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

test: .venv/ready lint
	.venv/bin/python -m pytest --numprocesses auto --dist worksteal

lint: .venv/ready
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

# Documents that are made of the code; a test looks whether they are up to date.
docs: .venv/ready
	.venv/bin/python docs/contract.py
	.venv/bin/python docs/recipes.py
	.venv/bin/python docs/results.py
	.venv/bin/python docs/seeds.py
	.venv/bin/python docs/stages.py

# What each stage reads and writes, drawn on toytown for the pages of the stages.
pictures: .venv/ready
	$(UDASEG) run gta2city --scale toy --run runs/pictures
	$(UDASEG) gmm --recipe synthia2city --scale toy --run runs/pictures-depth
	$(UDASEG) prior --recipe cbst-gta2city --scale toy --run runs/pictures-prior
	.venv/bin/python docs/pictures.py runs/pictures runs/pictures-depth runs/pictures-prior

# The documents as a site in build/site; open build/site/index.html.
site: .venv/ready
	NO_MKDOCS_2_WARNING=1 .venv/bin/python -m mkdocs build --strict --quiet --config-file docs/site/mkdocs.yml
	@echo "the site is in build/site/index.html"

# What the world does to files and processes, thousands of times; the tests hold a short form.
reliability: .venv/ready
	.venv/bin/python -m tests.reliability

# Every recipe of full scale to its report, on tiny files in the encodings of the real datasets, in two steps at an
# eighth of the size; the tests do this with two of them. ONLY="gta2city demo" runs some.
fullscale: .venv/ready
	.venv/bin/python -m tests.fullscale $(ONLY)

# The tables of docs/results.md: all that are meant for a pair of domains, or one.
#   make evidence PAIR=idda2city TABLE=cbst DATA=/datasets SEEDS="0 1 2" JOBS=2
#   make evidence PAIR=toytown TABLE=smoke SEEDS=0   two rows in a few minutes, before a release
#   make evidence CHECK=1                            the rows of stored tables whose recipes are others today; runs none
evidence: .venv/ready
	@.venv/bin/python -m tests.evidence $(PAIR) $(TABLE) $(if $(CHECK),--check) $(if $(SEEDS),--seeds '$(SEEDS)') \
		$(if $(JOBS),--jobs $(JOBS)) $(if $(DATA),--data '$(DATA)') $(foreach setting,$(SET),--set $(setting))

# What others offer, in the versions of constraints.txt; the tests do without.
.venv/bench: .venv/ready
	@echo "installing what the benchmarks compare with into .venv"
	.venv/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[bench]'
	@touch $@

bench: .venv/bench
	.venv/bin/python tests/bench $(if $(OUT),--out '$(OUT)') $(if $(ONLY),--only $(ONLY))

# --- the pipelines -----------------------------------------------------------------------------------------------

$(RECIPES): .venv/ready
	@$(UDASEG) run $@ $(FLAGS) $(if $(ROUNDS),--rounds $(ROUNDS))

# The same for any recipe, one of your own too: make chain RECIPE=mine.yaml
chain: .venv/ready
	@$(UDASEG) run $(or $(RECIPE),$(error make chain needs RECIPE=NAME; `make help` lists them)) $(FLAGS) $(if $(ROUNDS),--rounds $(ROUNDS))

FLAGS = $(if $(SCALE),--scale $(SCALE)) $(if $(DATA),--data '$(DATA)') $(if $(SEED),--seed $(SEED)) \
        $(if $(RUN),--run $(RUN)) $(foreach setting,$(SET),--set $(setting))

ablation: .venv/ready
	@$(UDASEG) ablate --recipe $(RECIPE) $(FLAGS) $(if $(ROUNDS),--set rounds=$(ROUNDS)) $(if $(SEEDS),--seeds '$(SEEDS)')

# The rows of the table that the real-time network was published with, the upper bound they are read against, and rows
# of the target's statistics of batch norm, which were not published.
REALTIME = source-realtime-gta2city realtime-full-gta2city realtime-gta2city realtime-fda01-gta2city \
           realtime-fda05-gta2city realtime-fda10-gta2city realtime-fda10-noblur-gta2city
REALTIME-EXTRA = adabn-realtime-gta2city realtime-full-adabn-gta2city realtime-light-adabn-gta2city \
                 realtime-fda01-adabn-gta2city realtime-fda05-adabn-gta2city realtime-fda10-adabn-gta2city \
                 realtime-fda10-noblur-adabn-gta2city
BOUND = oracle-realtime-gta2city
# The rows of its table of augmentations, in which the network is trained on the target's labels.
AUGMENTATIONS = oracle-realtime-plain-gta2city oracle-realtime-blur-gta2city oracle-realtime-flip-gta2city $(BOUND)
TABLE-RUN = runs/realtime-table$(if $(SCALE),-$(SCALE))
ROW-SEEDS = $(or $(SEEDS),0)

# Run some rows seed by seed, so that a table with all rows is there early; what is done is not done again.
run-rows = @set -e; for seed in $(ROW-SEEDS); do for recipe in $(1); do \
		$(MAKE) --no-print-directory chain RECIPE=$$recipe SEED=$$seed RUN=$(TABLE-RUN)/$$recipe-$$seed; \
	done; done
rows = $(foreach recipe,$(1),$(foreach seed,$(ROW-SEEDS),$(TABLE-RUN)/$(recipe)-$(seed)))

realtime-table: .venv/ready
	$(call run-rows,$(REALTIME) $(REALTIME-EXTRA) $(BOUND))
	@$(UDASEG) compare $(call rows,$(REALTIME) $(REALTIME-EXTRA)) $(addprefix --oracle ,$(call rows,$(BOUND))) \
		--published realtime-gta2city

augmentation-table: .venv/ready
	$(call run-rows,$(AUGMENTATIONS))
	@$(UDASEG) compare $(call rows,$(AUGMENTATIONS)) --published realtime-augmentation

# Its ablation, whose rows share what does not differ, read against its first row; in the end beside what is printed.
depth-table: RUN = runs/depth-table$(if $(SCALE),-$(SCALE))
depth-table: .venv/ready
	@$(MAKE) --no-print-directory ablation RECIPE=synthia2city RUN=$(RUN) SEEDS='$(ROW-SEEDS)' > /dev/null
	@$(UDASEG) compare $(foreach row,M1 M2 M3 full,$(foreach seed,$(ROW-SEEDS),$(RUN)/ablation/seed$(seed)/$(row))) \
		--published synthia2city-ablation

# The tables of CBST: a benchmark each, whose rows share a warm-up, on the network that it was published with.
#   make cbst-table-gta2city NETWORK=vgg16     on the other one of its paper; NETWORK=deeplab, on that of CRST
ROWS-gta2city = source ST full CBST-SP CBST-SP-MST
ROWS-gta2bdd = source ST ST-SP full CBST-SP
NETWORK = resnet38
CBST = $(if $(filter deeplab,$(NETWORK)),cbst-$(1),cbst-$(NETWORK)-$(1))

CBST-RUN = $(or $(RUN),runs/cbst-table$(if $(SCALE),-$(SCALE)))/$(call CBST,$*)

cbst-table: cbst-table-gta2city cbst-table-synthia2city cbst-table-gta2bdd cbst-table-city2rome cbst-table-city2rio \
	cbst-table-city2tokyo cbst-table-city2taipei

cbst-table-gta2city cbst-table-synthia2city cbst-table-gta2bdd cbst-table-city2rome cbst-table-city2rio \
cbst-table-city2tokyo cbst-table-city2taipei: cbst-table-%: .venv/ready
	@$(MAKE) --no-print-directory ablation RECIPE=$(call CBST,$*) RUN=$(CBST-RUN) SEEDS='$(ROW-SEEDS)' > /dev/null
	@$(UDASEG) compare --published cbst-$* $(foreach row,$(or $(ROWS-$*),source ST full),\
		$(foreach seed,$(ROW-SEEDS),$(CBST-RUN)/ablation/seed$(seed)/$(row)))

# FDA's multi-band transfer: a network for each beta; in two rounds, the average of the three labels the target, and
# each is trained anew. The average of the last three is the published row.
BANDS = fda-gta2city fda05-gta2city fda09-gta2city
MBT = $(or $(RUN),runs/multi-band$(if $(SCALE),-$(SCALE)))
MBT-FLAGS = $(filter-out --run $(RUN),$(FLAGS))
OF-BAND = --recipe $$band $(MBT-FLAGS) --run $(MBT)/$$band
OF-ALL = --recipe fda-gta2city $(MBT-FLAGS) --run $(MBT)
average = $(UDASEG) ensemble $(OF-ALL) --out $(MBT)/$(1) $(foreach band,$(BANDS),--predictions $(MBT)/$(band)/$(2))

multi-band: .venv/ready
	@set -e; for round in 1 2; do \
		for band in $(BANDS); do \
			if [ $$round = 1 ]; then $(UDASEG) warmup $(OF-BAND); fi; \
			$(UDASEG) predict $(OF-BAND) --round $$round; \
		done; \
		$(call average,round$$round/ensemble,round$$round/predict); \
		$(UDASEG) pseudolabel $(OF-ALL) --round $$round --predictions $(MBT)/round$$round/ensemble; \
		for band in $(BANDS); do \
			$(UDASEG) retrain $(OF-BAND) --round $$round --labels $(MBT)/round$$round/pseudolabel; \
		done; \
	done
	@set -e; for band in $(BANDS); do \
		$(UDASEG) predict $(OF-BAND) --model $(MBT)/$$band/round2/retrain --out $(MBT)/$$band/predict-val \
			--set target.split=val --set predict.adabn=false $(if $(SCALE),,--set 'target.size=[576,1344]'); \
	done
	@$(call average,ensemble,predict-val)
	@$(UDASEG) evaluate $(OF-ALL) --predictions $(MBT)/ensemble
	@$(UDASEG) compare $(MBT)/evaluate-ensemble --published gta2city
