/* queue_trigger.h: the queue, as the trigger on attached tables writes it */
#ifndef RC_QUEUE_TRIGGER_H
#define RC_QUEUE_TRIGGER_H

#include "source.h"

/* Queues an open request as one that has just arrived, as whoever runs this; needs SPI */
extern void queue_put_request(int32 source_id, const source_row *row);

#endif
