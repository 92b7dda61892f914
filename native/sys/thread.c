#include "sys.h"

#include <pthread.h>

#define STACK_SIZE (256 * 1024)

struct job {
	int (*work)(void *);
	void *argument;
	int status;
};

static void *run(void *argument)
{
	struct job *job = argument;
	job->status = job->work(job->argument);
	return NULL;
}

int sys_in_thread(int (*work)(void *), void *argument)
{
	struct job job = { work, argument, 0 };
	pthread_attr_t attributes;
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_SIZE);
	pthread_t thread;
	int error = pthread_create(&thread, &attributes, run, &job);
	pthread_attr_destroy(&attributes);
	if (error != 0)
		return -error;
	pthread_join(thread, NULL);
	return job.status;
}
