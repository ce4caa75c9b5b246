import { Client, credentials, type ServiceError, status } from '@grpc/grpc-js';
import test from 'ava';
import { grpc, HealthService } from '../../proto/service.ts';
import { call, fixture } from './fixture.ts';

const { SERVING, NOT_SERVING, SERVICE_UNKNOWN } = grpc.health.v1.HealthCheckResponse.ServingStatus;

for (const service of ['', 'berth.v1.MappingService']) {
  test(`check tells whether ${service || 'the server'} can be used`, async (t) => {
    const { socketPath, served } = await fixture(t, { serving: false });
    t.is((await call(socketPath, HealthService.check, { service })).status, NOT_SERVING);
    served.setServing(true);
    t.is((await call(socketPath, HealthService.check, { service })).status, SERVING);
  });
}

test('check of a service that is none is NOT_FOUND', async (t) => {
  const { socketPath } = await fixture(t);
  const error = await t.throwsAsync<ServiceError>(call(socketPath, HealthService.check, { service: 'other' }));
  t.is(error.code, status.NOT_FOUND);
});

function watch(socketPath: string, service: string) {
  const client = new Client(`unix:${socketPath}`, credentials.createInsecure());
  const { path, requestSerialize, responseDeserialize } = HealthService.watch;
  const stream = client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, { service });
  const answers: AsyncIterator<grpc.health.v1.HealthCheckResponse> = stream[Symbol.asyncIterator]();
  return { next: async () => (await answers.next()).value.status, close: () => client.close() };
}

test('watch gives the status now, whenever it changes, and NOT_SERVING before the end', async (t) => {
  const { socketPath, served, stop } = await fixture(t, { serving: false });
  const health = watch(socketPath, '');
  t.is(await health.next(), NOT_SERVING);
  served.setServing(true);
  served.setServing(true);
  t.is(await health.next(), SERVING);
  const stopped = stop();
  t.is(await health.next(), NOT_SERVING);
  const error = await t.throwsAsync<ServiceError>(health.next());
  t.is(error.code, status.UNAVAILABLE);
  await stopped;
  health.close();
});

test('watch of a service that is none says so and hears nothing of the others', async (t) => {
  const { socketPath, served, stop } = await fixture(t);
  const health = watch(socketPath, 'other');
  t.is(await health.next(), SERVICE_UNKNOWN);
  served.setServing(false);
  const stopped = stop();
  await t.throwsAsync(health.next());
  await stopped;
  health.close();
});
