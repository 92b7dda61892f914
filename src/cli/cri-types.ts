import type { CriClient } from '../cri/client.ts';

/** What the client's calls take and give; only cri/ names the messages themselves. */
type Runtime = CriClient['runtime'];
type Request<Name extends keyof Runtime> = Parameters<Runtime[Name]>[0];
type Reply<Name extends keyof Runtime> = Awaited<ReturnType<Runtime[Name]>>;

export type Container = Reply<'ListContainers'>['containers'][number];
export type ContainerStatus = NonNullable<Reply<'ContainerStatus'>['status']>;
export type ContainerStats = Reply<'ListContainerStats'>['stats'][number];
export type Pod = Reply<'ListPodSandbox'>['items'][number];
export type Image = Awaited<ReturnType<CriClient['images']['ListImages']>>['images'][number];
export type PodConfig = NonNullable<Request<'RunPodSandbox'>['config']>;
export type ContainerConfig = NonNullable<Request<'CreateContainer'>['config']>;
