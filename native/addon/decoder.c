/*
 * Decompressors over the zlib and zstd that Node itself carries: its own streams
 * hand out a fresh buffer for every piece, and layers are large. Here the caller
 * gives the buffers, used again and again.
 *
 * The two libraries are found in the Node that loads the addon, so their names
 * are weak: a Node without them is told, not died of.
 */
#include "call.h"

#include <errno.h>
#include <string.h>
#include <zlib.h>

#pragma weak inflateInit2_
#pragma weak inflate
#pragma weak inflateReset
#pragma weak inflateEnd

/* zstd.h is not among Node's headers. These are of its stable interface, since 1.4. */
typedef struct ZSTD_DCtx_s ZSTD_DCtx;
struct zstd_in {
	const void *src;
	size_t size, pos;
};
struct zstd_out {
	void *dst;
	size_t size, pos;
};
ZSTD_DCtx *ZSTD_createDCtx(void) __attribute__((weak));
size_t ZSTD_freeDCtx(ZSTD_DCtx *) __attribute__((weak));
size_t ZSTD_decompressStream(ZSTD_DCtx *, struct zstd_out *, struct zstd_in *) __attribute__((weak));
unsigned ZSTD_isError(size_t) __attribute__((weak));

enum { GZIP_WINDOW = 15 + 16, GZIP_MAGIC = 0x1f };

struct decoder {
	bool zstd;
	z_stream gzip;
	ZSTD_DCtx *frames;
	bool fresh;   /* between two members or frames */
	bool members; /* at least one gzip member has ended */
	bool closed;
	bool over;    /* what follows the gzip members is none: read, not decoded */
};

int decoder_open(bool zstd, struct decoder **opened)
{
	if (zstd ? ZSTD_decompressStream == NULL || ZSTD_createDCtx == NULL : inflate == NULL || inflateInit2_ == NULL)
		return -ENOSYS;
	struct decoder *decoder = calloc(1, sizeof *decoder);
	if (decoder == NULL)
		return -ENOMEM;
	decoder->zstd = zstd;
	decoder->fresh = true;
	if (zstd)
		decoder->frames = ZSTD_createDCtx();
	if (zstd ? decoder->frames == NULL : inflateInit2(&decoder->gzip, GZIP_WINDOW) != Z_OK) {
		free(decoder);
		return -ENOMEM;
	}
	*opened = decoder;
	return 0;
}

void decoder_close(struct decoder *decoder)
{
	if (decoder->closed)
		return;
	decoder->closed = true;
	if (decoder->zstd)
		ZSTD_freeDCtx(decoder->frames);
	else
		inflateEnd(&decoder->gzip);
}

void decoder_free(struct decoder *decoder)
{
	decoder_close(decoder);
	free(decoder);
}

/* What stands behind the last member is another one, or padding. */
static int begin_member(struct decoder *decoder)
{
	z_stream *z = &decoder->gzip;
	if (decoder->members && *z->next_in != GZIP_MAGIC) {
		decoder->over = true;
		return 0;
	}
	decoder->fresh = false;
	return !decoder->members || inflateReset(z) == Z_OK ? 0 : -EBADMSG;
}

static int run_gzip(struct decoder *decoder, struct decoded *result)
{
	z_stream *z = &decoder->gzip;
	z->next_in = (Bytef *)result->in;
	z->avail_in = result->in_length;
	z->next_out = result->out;
	z->avail_out = result->out_length;
	int status = 0;
	while (status == 0 && !decoder->over && z->avail_out > 0) {
		if (decoder->fresh && z->avail_in == 0)
			break;
		if (decoder->fresh) {
			status = begin_member(decoder);
			continue;
		}
		int code = inflate(z, Z_NO_FLUSH);
		if (code == Z_STREAM_END)
			decoder->fresh = decoder->members = true;
		else if (code == Z_BUF_ERROR)
			break;
		else if (code != Z_OK)
			status = code == Z_MEM_ERROR ? -ENOMEM : -EBADMSG;
		else if (z->avail_in == 0 && z->avail_out > 0)
			break;
	}
	result->consumed = decoder->over ? result->in_length : result->in_length - z->avail_in;
	result->produced = result->out_length - z->avail_out;
	return status;
}

static int run_zstd(struct decoder *decoder, struct decoded *result)
{
	struct zstd_in in = { result->in, result->in_length, 0 };
	struct zstd_out out = { result->out, result->out_length, 0 };
	int status = 0;
	do {
		if (decoder->fresh && in.pos == in.size)
			break;
		size_t before = out.pos, read = in.pos;
		size_t left = ZSTD_decompressStream(decoder->frames, &out, &in);
		if (ZSTD_isError(left)) {
			status = -EBADMSG;
			break;
		}
		decoder->fresh = left == 0;
		if (out.pos == before && in.pos == read)
			break;
	} while (out.pos < out.size);
	result->consumed = in.pos;
	result->produced = out.pos;
	return status;
}

int decoder_run(struct decoder *decoder, struct decoded *result)
{
	if (decoder->closed)
		return -EBADF;
	int status = decoder->zstd ? run_zstd(decoder, result) : run_gzip(decoder, result);
	result->ended = decoder->fresh || decoder->over;
	return status;
}
