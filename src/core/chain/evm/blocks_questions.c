/* blocks_questions.c: what all stages of reading blocks use */
#include "core/chain/evm/source.h"

#include <stdlib.h>
#include <string.h>

/* Adds a question; takes over params */
evm_question *
evm_put(rc_source *source, const char *method, char *params, size_t max_answer, int block)
{
	evm_question *question;

	if (source->nquestions == source->questions_size)
	{
		source->questions_size = source->questions_size > 0 ? 2 * source->questions_size : 64;
		source->questions = rc_realloc(source->questions, source->questions_size * sizeof(evm_question));
	}
	question = &source->questions[source->nquestions++];
	memset(question, 0, sizeof(*question));
	question->method = method;
	question->params = params;
	question->max_answer = max_answer;
	question->block = block;
	return question;
}

void
evm_drop_questions(rc_source *source)
{
	for (size_t i = 0; i < source->nquestions; i++)
		free(source->questions[i].params);
	source->nquestions = source->asked = source->sent = 0;
}

/* The endpoint is at fault */
evm_outcome
evm_say(rc_source *source, rc_failure_code code, const char *problem)
{
	free(source->failure.text);
	source->failure = rc_failure_make(code, "%s", problem);
	return EVM_ENDPOINT_FAILED;
}

const evm_header *
evm_kept_header(const rc_source *source, const char *hash)
{
	if (source->tip_known && strcmp(source->tip.hash, hash) == 0)
		return &source->tip;
	for (int i = 0; i < source->nkept; i++)
	{
		if (strcmp(source->kept[i].hash, hash) == 0)
			return &source->kept[i];
	}
	return NULL;
}

void
evm_keep_header(rc_source *source, const evm_header *header)
{
	if (source->nkept == EVM_KEPT_HEADERS)
		source->nkept = 0;
	source->kept[source->nkept++] = *header;
}
