
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Thread pools of the program: a task has the labels of the one who posted it.
 *
 * A pool is known by how it is used, not by what it looks like: the control
 * thread posts a task by signalling a condition and unlocking a mutex; a
 * thread of the pool has taken one, the oldest, when it unlocks the same mutex.
 * So the labels go through a queue beside the pool's own, guarded by its mutex.
 */


#ifndef _PRT_POOL_H_INCLUDED_
#define _PRT_POOL_H_INCLUDED_


/*
 * On the control thread, before the first task.  Calls from the object that
 * "code" is in are looked at; NULL: there is no such pool.
 */
void prt_pool_start(const void *code);
void prt_pool_stop(void);


#endif /* _PRT_POOL_H_INCLUDED_ */
