/* spi_store.h: rc_store of a background worker: each statement a transaction, by SPI */
#ifndef RC_SPI_STORE_H
#define RC_SPI_STORE_H

#include "core/base/host.h"
#include "core/protocol/store.h"

extern void rc_spi_store_init(rc_store *store, const rc_host *host);

#endif
