import type { BoundFunctions, queries } from '@testing-library/react';
import { fireEvent, screen, waitFor, within } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { beforeEach, describe, expect, it, vi } from 'vitest';

import { BackendError } from '../src/api/backend';
import { PanelBackend, open, tellJobs } from './panelScreen';
import { job } from './samples';

vi.mock('../src/card/JobCard', () => import('./cardStandIn'));
vi.setConfig({ testTimeout: 30_000 });

beforeEach(() => {
  localStorage.setItem('runctl-jupyter:panel:launch', 'true');
});

const form = (): BoundFunctions<typeof queries> =>
  within(screen.getByRole('form', { name: 'Launch a job' }));
const line = (): string | null => form().getByLabelText('The equal line').textContent;

describe('the launch form', () => {
  it('shows the equal line and the price as one types', async () => {
    await open(new PanelBackend());
    const user = userEvent.setup();
    await user.type(form().getByLabelText('Script'), 'fit.py');
    await user.type(form().getByLabelText('Machine'), 'g5.xlarge');
    await user.type(form().getByLabelText('Time limit'), '2h');
    await user.type(form().getByLabelText('Name'), "ada's run");
    expect(line()).toBe(
      `%runctl train fit.py --instance-type g5.xlarge --name 'ada'"'"'s run' --ttl 2h`
    );
    expect(
      form().getByText('1 GPU · 4 vCPU · 16 GiB · $1.006/h', { selector: 'span' })
    ).toBeTruthy();
    expect(form().getByText('$1.006/h · at most $2.01, in 2 h')).toBeTruthy();
  });

  it('has sliders for parameters between two numbers', async () => {
    await open(new PanelBackend());
    const user = userEvent.setup();
    await user.click(form().getByRole('button', { name: 'Add a parameter' }));
    await user.type(form().getByLabelText('Name', { selector: '.rc-mono' }), 'lr');
    await user.click(form().getByRole('button', { name: 'Range' }));
    fireEvent.change(form().getByRole('slider', { name: 'lr' }), { target: { value: '0.3' } });
    expect(line()).toBe('%runctl train --param lr=0.3');
    await user.clear(form().getByLabelText('Most lr'));
    expect(form().queryByRole('slider')).toBeNull();
    await user.click(form().getByRole('button', { name: 'Remove lr' }));
    expect(line()).toBe('%runctl train');
  });

  it('launches exactly that line, once, and opens the job', async () => {
    const launched = job({ id: 'new', name: 'digits', state: 'queued' });
    let agree: () => void = () => undefined;
    const backend = new PanelBackend(
      {},
      {
        launch: () =>
          new Promise(resolve => {
            agree = () => {
              resolve({ job: launched });
            };
          })
      }
    );
    await open(backend);
    tellJobs(backend, []);
    const user = userEvent.setup();
    await user.click(form().getByRole('button', { name: 'Launch' }));
    expect(backend.done).toEqual([]);
    await user.type(form().getByLabelText('Script'), 'fit.py{Enter}');
    const pressed = form().getByRole('button', { name: 'Launching…' });
    expect((pressed as HTMLButtonElement).disabled).toBe(true);
    agree();
    expect((await screen.findByTestId('card')).textContent).toBe('new');
    expect(backend.done).toEqual([{ action: 'launch', params: { line: 'train fit.py' } }]);
  });

  it('says in place why it did not', async () => {
    const backend = new PanelBackend(
      {},
      {
        launch: () => {
          throw new BackendError({ error: 'x', what: 'No such script.', to_resolve: 'Look.' });
        }
      }
    );
    await open(backend);
    await userEvent.setup().type(form().getByLabelText('Script'), 'fit.py{Enter}');
    await waitFor(() => {
      expect(form().getByRole('alert').textContent).toBe('No such script.Look.');
    });
    expect(form().getByRole('button', { name: 'Launch' })).toBeTruthy();
  });

  it('inserts a cell that trains, where the page can', async () => {
    const codes: string[] = [];
    await open(new PanelBackend(), { insertCell: code => codes.push(code) });
    const user = userEvent.setup();
    await user.click(form().getByRole('radio', { name: 'a cell' }));
    expect(form().queryByLabelText('Script')).toBeNull();
    await user.type(form().getByLabelText('Cost cap, $'), '5');
    await user.click(form().getByRole('button', { name: 'Insert cell' }));
    expect(codes).toEqual(['%%runctl train --max-cost 5\n']);
    expect(form().queryByRole('button', { name: 'Launch' })).toBeNull();
  });
});
