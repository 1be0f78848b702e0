# Containers: the service (database, reconcilerd in any number of copies) and a
# local chain to try it on. Needs Docker with its compose plugin.
#
#   make service-up SERVICE_RECONCILER_ENABLED=true SERVICE_RECONCILER_REPLICAS=3
#   make service-logs
#   make service-down                   the data stays; SERVICE_REMOVE_DATA=true removes it
#   make local-up-all                   the service with a local chain
#   make local-receive-test             pays requests on it, waits until they are confirmed
#   make test-containers                builds the images and tries all of this
#
# The settings below can be given to make or stand in the environment. A "$" in
# a value that is given to make is written "$$".

# Whether reconcilerd runs; without it nothing reconciles, unless the database
# is asked to (ALTER SYSTEM SET reconciler.workers).
SERVICE_RECONCILER_ENABLED ?= false
SERVICE_RECONCILER_REPLICAS ?= 1
# Empty: what the database has set.
SERVICE_RECONCILER_POLL_INTERVAL_SECONDS ?=
SERVICE_RECONCILER_LEASE_SECONDS ?=
SERVICE_RECONCILER_BATCH_SIZE ?=
# SERVICE_EVM_RPC_URLS_JSON: {"network":"http://…"}, endpoints that reconcilerd
# uses in place of the database's
SERVICE_BTC_ESPLORA_BASE_URL ?=

SERVICE_LOCAL_CHAIN ?= false
# Ports on 127.0.0.1; 0 takes a free one
SERVICE_DATABASE_PORT ?= 5432
SERVICE_CHAIN_PORT ?= 8545
SERVICE_PROJECT ?= reconciler
SERVICE_REMOVE_DATA ?= false
SERVICE_LOGS_FLAGS ?= --follow --tail=200

# What the images are built from (docker/Dockerfile: BASE, NODE_BASE), how they
# are called, and the network that their build may use
SERVICE_BASE_IMAGE ?= debian:trixie-slim
SERVICE_NODE_IMAGE ?= node:22-trixie-slim
SERVICE_IMAGE_PREFIX ?= reconciler
SERVICE_BUILD_NETWORK ?= default

export SERVICE_RECONCILER_REPLICAS SERVICE_RECONCILER_POLL_INTERVAL_SECONDS SERVICE_RECONCILER_LEASE_SECONDS \
	SERVICE_RECONCILER_BATCH_SIZE SERVICE_EVM_RPC_URLS_JSON SERVICE_BTC_ESPLORA_BASE_URL \
	SERVICE_DATABASE_PORT SERVICE_CHAIN_PORT SERVICE_BASE_IMAGE SERVICE_NODE_IMAGE SERVICE_IMAGE_PREFIX \
	SERVICE_BUILD_NETWORK

service_dir := $(patsubst %/,%,$(dir $(lastword $(MAKEFILE_LIST))))
# Generated passwords; not for git
SERVICE_ENV_FILE ?= $(service_dir)/.env

service_is_true = $(filter true yes on 1,$(1))
service_compose = docker compose --project-name $(SERVICE_PROJECT) --env-file $(SERVICE_ENV_FILE) --file $(service_dir)/compose.yaml
service_profiles = $(if $(call service_is_true,$(SERVICE_RECONCILER_ENABLED)),--profile reconciler) \
	$(if $(call service_is_true,$(SERVICE_LOCAL_CHAIN)),--profile chain)
service_every_profile = --profile reconciler --profile chain
service_local_urls := $(or $(value SERVICE_EVM_RPC_URLS_JSON),{"local":"http://chain:8545"})

.PHONY: service-up service-down service-logs service-check local-up-all local-receive-test test-containers

$(SERVICE_ENV_FILE):
	@umask 077 && for name in SERVICE_DATABASE_PASSWORD SERVICE_RECONCILER_PASSWORD; do \
		echo "$$name=$$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')"; done > $@.tmp && mv $@.tmp $@

service-check:
	$(if $(filter true yes on 1 false no off 0,$(SERVICE_RECONCILER_ENABLED)),,\
		$(error SERVICE_RECONCILER_ENABLED is "$(SERVICE_RECONCILER_ENABLED)": use true or false))
	@case '$(SERVICE_RECONCILER_REPLICAS)' in ''|*[!0-9]*) \
		echo 'SERVICE_RECONCILER_REPLICAS is "$(SERVICE_RECONCILER_REPLICAS)": use a number' >&2; exit 2 ;; esac
	@docker compose version >/dev/null 2>&1 || { echo 'Docker with its compose plugin is needed' >&2; exit 2; }

service-up: service-check $(SERVICE_ENV_FILE)
	$(if $(call service_is_true,$(SERVICE_RECONCILER_ENABLED)),,@$(service_compose) --profile reconciler rm --stop --force reconciler)
	@$(service_compose) $(service_profiles) up --detach --build --wait --wait-timeout 180
	@$(service_compose) $(service_every_profile) ps

service-down: service-check $(SERVICE_ENV_FILE)
	@$(service_compose) $(service_every_profile) down --remove-orphans $(if $(call service_is_true,$(SERVICE_REMOVE_DATA)),--volumes)

service-logs: service-check $(SERVICE_ENV_FILE)
	@$(service_compose) $(service_every_profile) logs $(SERVICE_LOGS_FLAGS)

local-up-all local-receive-test: SERVICE_RECONCILER_ENABLED = true
local-up-all local-receive-test: SERVICE_LOCAL_CHAIN = true
local-up-all local-receive-test: SERVICE_EVM_RPC_URLS_JSON = $(service_local_urls)

local-up-all: service-up

local-receive-test: local-up-all
	@$(service_dir)/receive-test $(service_compose) $(service_every_profile)

test-containers:
	@$(service_dir)/test-containers
